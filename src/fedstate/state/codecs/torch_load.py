"""Loading what a ``state_dict`` holds into its object: checked before, and undone if it fails."""

import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from fedstate.state.codecs.tensors import is_tensor
from fedstate.state.codecs.torch_fit import (
    check_module,
    check_optimizer,
    check_scheduler,
    class_name,
    is_lazy,
)
from fedstate.state.errors import StateFitError
from fedstate.state.kinds.torch_values import is_module

_EXTRA_STATE = "_extra_state"


class OptimizerState(dict[str, Any]):
    """What an optimizer's ``state_dict`` returned.

    Attributes
    ----------
    owner : str
        The class of the optimizer.
    shapes : list[list[list[int]]]
        The shapes of its parameters, by group.
    """

    def __init__(self, state: Mapping[str, Any], owner: str, shapes: list[Any]) -> None:
        super().__init__(state)
        self.owner = owner
        self.shapes = shapes


class SchedulerState(dict[str, Any]):
    """What a scheduler's ``state_dict`` returned.

    Attributes
    ----------
    owner : str
        The class of the scheduler.
    """

    def __init__(self, state: Mapping[str, Any], owner: str) -> None:
        super().__init__(state)
        self.owner = owner


def is_optimizer(value: object) -> bool:
    """Return whether `value` is an optimizer of PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.optim.Optimizer)


def is_scheduler(value: object) -> bool:
    """Return whether `value` is a learning rate scheduler of PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.optim.lr_scheduler.LRScheduler)


def load_state(value: Any, into: Any) -> None:
    """Give `value` to ``into.load_state_dict``; all of it is taken, or nothing.

    Parameters
    ----------
    value : Any
        What ``state_dict`` returned.
    into : torch.nn.Module | torch.optim.Optimizer | LRScheduler | Any
        What takes it.

    Raises
    ------
    StateFitError
        If it does not fit, or is refused.
    """
    is_known = is_module(into) or is_optimizer(into) or is_scheduler(into)
    if is_known and not isinstance(value, Mapping):
        raise StateFitError(
            f"it is a {type(value).__name__}, and {class_name(into)} takes what a state_dict "
            "returns"
        )
    if isinstance(value, OptimizerState | SchedulerState) and class_name(into) != value.owner:
        raise StateFitError(
            f"it is the state of a {value.owner}, and is loaded into a {class_name(into)}"
        )
    if is_module(into):
        _load_module(value, into)
    elif is_optimizer(into):
        check_optimizer(value, into, getattr(value, "shapes", None))
        with _undone(into, _optimizer_snapshot(into)):
            # The class that tells optimizers apart is no content; PyTorch copies the rest.
            into.load_state_dict(dict(value))
    elif is_scheduler(into):
        check_scheduler(value, into)
        with _undone(into, _attributes_snapshot(_schedulers(into))):
            into.load_state_dict(dict(value))
    else:
        with _undone(into, _attributes_snapshot([into])):
            into.load_state_dict(value)


def _load_module(value: Mapping[str, Any], into: Any) -> None:
    check_module(value, into)
    # Where neither has a value, there is nothing to load, and PyTorch would trip over it.
    empty = [name for name, item in value.items() if is_tensor(item) and is_lazy(item)]
    options = {}
    if empty:
        value = copy.copy(value)
        for name in empty:
            del value[name]  # type: ignore[attr-defined]
        options = {"strict": False}
    snapshot = _module_snapshot(into) if _may_fail(into) else lambda: None
    with _undone(into, snapshot):
        into.load_state_dict(value, **options)


def _may_fail(module: Any) -> bool:
    """Return whether loading can fail after the check: code other than PyTorch's own loads.

    The check leaves nothing else that could, and a copy of a large model is not for nothing.
    """
    own = ("_load_from_state_dict", "set_extra_state", "load_state_dict")
    hooks = ("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")
    for part in module.modules():
        if any(getattr(part, name, None) for name in hooks):
            return True
        for name in own:
            owner = next(kind for kind in type(part).__mro__ if name in vars(kind))
            if owner.__module__.partition(".")[0] != "torch":
                return True
    return False


def _module_snapshot(module: Any) -> Callable[[], None]:
    """Remember a module: its parts, the values of its tensors, and its other attributes."""
    torch = sys.modules["torch"]
    parts = [(part, type(part), dict(vars(part))) for part in module.modules()]
    members = {
        id(held): (held, dict(held))
        for _, _, attributes in parts
        for held in attributes.values()
        if isinstance(held, dict)
    }
    tensors = {
        id(tensor): (tensor, tensor.detach().clone())
        for part, _, _ in parts
        for tensor in [*part._parameters.values(), *part._buffers.values()]  # noqa: SLF001
        if tensor is not None and not is_lazy(tensor)
    }
    # What `set_extra_state` may change in place is not known, so it is copied.
    extra = [
        (part, name, copy.deepcopy(item))
        for part, _, attributes in parts
        if _has_extra_state(part)
        for name, item in attributes.items()
        if not name.startswith("_") and not is_module(item) and not is_tensor(item)
    ]
    lazy = [
        tensor
        for part, _, _ in parts
        for tensor in [*part._parameters.values(), *part._buffers.values()]  # noqa: SLF001
        if tensor is not None and is_lazy(tensor)
    ]
    lazy_types = [(tensor, type(tensor), dict(vars(tensor)), tensor.data) for tensor in lazy]

    def restore() -> None:
        for held, before in members.values():
            held.clear()
            held.update(before)
        for part, kind, attributes in parts:
            part.__class__ = kind
            vars(part).clear()
            vars(part).update(attributes)
        for part, name, item in extra:
            vars(part)[name] = item
        for tensor, kind, attributes, data in lazy_types:
            tensor.__class__ = kind
            tensor.data = data
            vars(tensor).clear()
            vars(tensor).update(attributes)
        with torch.no_grad():
            for tensor, before in tensors.values():
                tensor.data.copy_(before)

    return restore


def _has_extra_state(part: Any) -> bool:
    torch = sys.modules["torch"]
    return type(part).set_extra_state is not torch.nn.Module.set_extra_state


def _optimizer_snapshot(optimizer: Any) -> Callable[[], None]:
    """Remember an optimizer; loading replaces its containers and leaves their contents alone."""
    attributes = dict(vars(optimizer))
    groups = [(group, dict(group)) for group in optimizer.param_groups]
    states = [(state, dict(state)) for state in optimizer.state.values()]
    held, items = optimizer.state, dict(optimizer.state)

    def restore() -> None:
        vars(optimizer).clear()
        vars(optimizer).update(attributes)
        for container, before in [*groups, *states, (held, items)]:
            container.clear()
            container.update(before)

    return restore


def _schedulers(scheduler: Any) -> list[Any]:
    """Return a scheduler and those that it consists of."""
    inner = getattr(scheduler, "_schedulers", [])
    return [scheduler, *(found for each in inner for found in _schedulers(each))]


def _attributes_snapshot(objects: list[Any]) -> Callable[[], None]:
    """Remember objects by their attributes; what could be changed in place is copied."""
    saved = [(each, {k: _copied(v) for k, v in vars(each).items()}) for each in objects]

    def restore() -> None:
        for each, attributes in saved:
            vars(each).clear()
            vars(each).update(attributes)

    return restore


def _copied(value: Any) -> Any:
    if is_optimizer(value) or is_scheduler(value) or is_module(value):
        return value
    if isinstance(value, list) and any(is_scheduler(item) for item in value):
        return list(value)
    try:
        return copy.deepcopy(value)
    except Exception:
        return value  # what cannot be copied (a lock, a file) is not what is loaded


@contextmanager
def _undone(into: Any, restore: Callable[[], None]) -> Iterator[None]:
    """Call `restore` if loading fails, and say that it did."""
    try:
        yield
    except Exception as error:
        restore()
        _refuse(into, error)
    except BaseException:
        restore()
        raise


def _refuse(into: Any, error: Exception) -> NoReturn:
    reason = " ".join(str(error).split())
    raise StateFitError(f"{type(into).__name__} does not take it: {reason}") from error
