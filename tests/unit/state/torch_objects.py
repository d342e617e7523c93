"""PyTorch for the tests of what is stored of it, and how its objects are compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.unit.state.steps import make_context, sent, step

torch = pytest.importorskip("torch", reason="PyTorch is optional: pip install torch")
nn, optim = torch.nn, torch.optim


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let PyTorch compute with so many threads; how it sums up depends on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def names(module: Any) -> set[str]:
    return {name for name, value in vars(module).items() if isinstance(value, type)}


def bits(value: Any) -> Any:
    """Return everything in a value, tensors to the bit."""
    if isinstance(value, torch.Tensor):
        if nn.parameter.is_lazy(value):
            return type(value).__name__
        dense = value.detach().contiguous().reshape(-1).view(torch.uint8)
        return str(value.dtype), tuple(value.shape), bytes(dense.numpy())
    if isinstance(value, dict):
        items = [(key, bits(item)) for key, item in value.items()]
        return type(value).__name__, sorted(items, key=repr) if type(value) is dict else items
    if isinstance(value, list | tuple):
        return [bits(item) for item in value]
    return repr(value)


def store(**values: Any) -> Any:
    context = make_context()
    with step(context) as state:
        state.update(values)
    return sent(context)


def make_net(features: int = 4) -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Linear(5, features), nn.BatchNorm1d(features), nn.Linear(features, 2))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


class Counting(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A module with a state of its own, which it refuses to take if it is told to."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)
        self.counts = {"n": count, "tensor": torch.ones(2)}
        self.refuses = False

    def get_extra_state(self) -> Any:
        return {"n": self.counts["n"], "words": ("a", {1: b"b"})}

    def set_extra_state(self, state: Any) -> None:
        self.counts["n"] = state["n"]
        if self.refuses:
            raise RuntimeError("It is\nrefused.")
