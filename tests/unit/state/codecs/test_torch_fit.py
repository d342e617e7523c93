"""What of PyTorch fits into what, and the sentence about what does not."""

from typing import Any

import pytest

from fedstate.state import StateFitError
from tests.unit.state.steps import step
from tests.unit.state.torch_objects import make_net, same, store, torch


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (lambda: make_net(3), r"'0.weight' has shape \(3, 5\) in the module, and \(4, 5\) as"),
        (lambda: make_net().double(), "'0.weight' has dtype torch.float64 in the module"),
        (
            lambda: make_net()[:2],
            r"'2.weight' of shape \(2, 4\) is stored, and the module has no",
        ),
        (
            lambda: torch.nn.Sequential(*make_net(), torch.nn.Linear(2, 1)),
            r"'3.weight' of shape \(1, 2\) in the module is not stored",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(other: Any, sentence: str) -> None:
    target = other()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with (
        step(store(net=make_net())) as state,
        pytest.raises(StateFitError, match=f"^State value 'net': {sentence}"),
    ):
        state.load("net", into=target)
    assert same(target.state_dict(), before)


def test_names_are_compared_before_shapes() -> None:
    net = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 3), "b": torch.nn.Linear(3, 1)})
    less = torch.nn.ModuleDict({"b": torch.nn.Linear(9, 1)})
    with (
        step(store(net=net)) as state,
        pytest.raises(StateFitError, match=r"'a.weight' of shape \(3, 2\) is stored, and the"),
    ):
        state.load("net", into=less)


def test_what_has_no_value_is_kept_as_that() -> None:
    lazy = torch.nn.LazyLinear(3)
    meta = torch.nn.Linear(2, 3, device="meta")
    with step(store(lazy=lazy, meta=meta, net=torch.nn.Linear(2, 3))) as state:
        assert torch.nn.parameter.is_lazy(state["lazy"]["weight"])
        assert state["meta"]["weight"].is_meta
        assert state["meta"]["weight"].shape == (3, 2)
        state.load("lazy", into=torch.nn.LazyLinear(3))
        state.load("meta", into=torch.nn.Linear(2, 3, device="meta"))
        with pytest.raises(StateFitError, match="was stored from the device 'meta', without"):
            state.load("meta", into=torch.nn.Linear(2, 3))
        with pytest.raises(StateFitError, match="is on the device 'meta' in the module, which"):
            state.load("net", into=meta)
        with pytest.raises(StateFitError, match="was stored before it had a value"):
            state.load("lazy", into=torch.nn.Linear(2, 3))


def test_an_optimizer_goes_on_where_it_stopped() -> None:
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(3, 5)).sum().backward()
    optimizer.step()
    other = torch.optim.Adam(make_net().parameters())
    with step(store(optimizer=optimizer.state_dict())) as state:
        state.load("optimizer", into=other)
        with pytest.raises(StateFitError, match="group 0 has 6 parameters as stored, and 1"):
            state.load("optimizer", into=torch.optim.Adam([torch.nn.Parameter(torch.ones(1))]))
    mine, theirs = optimizer.state_dict()["state"], other.state_dict()["state"]
    assert mine.keys() == theirs.keys()
    for key in mine:
        assert mine[key].keys() == theirs[key].keys()
        assert all(torch.equal(mine[key][name], theirs[key][name]) for name in mine[key])
