"""Whether what a ``state_dict`` holds fits a module, an optimizer or a scheduler of PyTorch."""

import functools
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from fedstate.state.codecs.tensors import is_tensor
from fedstate.state.errors import StateFitError

# State of an optimizer that is one number whatever the shape of the parameter is.
_NUMBERS = {"step", "eta", "mu", "mu_product"}
# Adafactor's moments of a matrix are kept by row and by column: the dimension that is 1.
_REDUCED = {"row_var": -1, "col_var": -2}
# What schedulers write into the groups of their optimizer, and PyTorch into a saved one.
_NOT_OPTIONS = {
    *("params", "param_names", "initial_lr", "max_lr", "min_lr"),
    *("max_momentum", "base_momentum"),
}


def class_name(value: object) -> str:
    """Return the full name of an object's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def is_lazy(tensor: Any) -> bool:
    """Return whether a parameter or buffer has no shape and no value yet."""
    return bool(sys.modules["torch"].nn.parameter.is_lazy(tensor))


def check_module(stored: Mapping[str, Any], into: Any) -> None:
    """Check that a ``state_dict`` fits a module: names first, then shapes and dtypes.

    Raises
    ------
    StateFitError
        If it does not; it names the tensor, and what the module has and what is stored.
    """
    expected = into.state_dict()
    for name, item in expected.items():
        if name not in stored:
            raise StateFitError(f"{_shown(name, item)} in the module is not stored")
    for name, item in stored.items():
        if name not in expected:
            raise StateFitError(f"{_shown(name, item)} is stored, and the module has none such")
    for name, item in expected.items():
        _check_tensor(name, stored[name], item)


def _check_tensor(name: str, stored: Any, expected: Any) -> None:
    if not is_tensor(expected) or not is_tensor(stored):
        if is_tensor(expected) or is_tensor(stored):
            raise StateFitError(
                f"{name!r} is a {type(expected).__name__} in the module, and a "
                f"{type(stored).__name__} as stored"
            )
        return
    if is_lazy(expected):
        return
    if is_lazy(stored):
        raise StateFitError(
            f"{_shown(name, expected)} in the module was stored before it had a value; load it "
            "into a module that has not been called yet"
        )
    if stored.shape != expected.shape:
        raise StateFitError(
            f"{name!r} has shape {tuple(expected.shape)} in the module, and "
            f"{tuple(stored.shape)} as stored"
        )
    if stored.dtype != expected.dtype:
        raise StateFitError(
            f"{name!r} has dtype {expected.dtype} in the module, and {stored.dtype} as stored"
        )
    if expected.is_meta and not stored.is_meta:
        raise StateFitError(
            f"{name!r} is on the device 'meta' in the module, which holds no values; give the "
            "module memory first, with to_empty(device='cpu')"
        )
    if stored.is_meta and not expected.is_meta:
        raise StateFitError(
            f"{name!r} was stored from the device 'meta', without values, and the module has some"
        )


def _shown(name: str, item: Any) -> str:
    is_shaped = is_tensor(item) and not is_lazy(item)
    return f"{name!r} of shape {tuple(item.shape)}" if is_shaped else f"{name!r}"


def check_optimizer(stored: Mapping[str, Any], into: Any, shapes: list[Any] | None) -> None:
    """Check that a ``state_dict`` fits an optimizer: its kind, groups, and shapes.

    Parameters
    ----------
    stored : Mapping[str, Any]
        What ``state_dict`` returned.
    into : torch.optim.Optimizer
        The optimizer.
    shapes : list[list[list[int]]] | None
        The shapes of the parameters that the stored one had, by group, if they are known.

    Raises
    ------
    StateFitError
        If it does not fit.
    """
    groups, state = stored.get("param_groups"), stored.get("state")
    if not isinstance(groups, list) or not isinstance(state, Mapping):
        raise StateFitError(
            f"it has {', '.join(map(repr, stored)) or 'nothing'}, and an optimizer's state has "
            "'state' and 'param_groups'"
        )
    if len(groups) != len(into.param_groups):
        raise StateFitError(
            f"it has {len(groups)} groups of parameters, and the {type(into).__name__} has "
            f"{len(into.param_groups)}"
        )
    parameters: dict[Any, Any] = {}
    for number, (group, own) in enumerate(zip(groups, into.param_groups, strict=True)):
        _check_options(group, own, into)
        if len(group["params"]) != len(own["params"]):
            raise StateFitError(
                f"group {number} has {len(group['params'])} parameters as stored, and "
                f"{len(own['params'])} in the {type(into).__name__}"
            )
        parameters.update(zip(group["params"], own["params"], strict=True))
        for place, parameter in enumerate(own["params"]):
            if shapes is not None and shapes[number][place] != list(parameter.shape):
                raise StateFitError(
                    f"parameter {place} of group {number} has shape {tuple(parameter.shape)} in "
                    f"the {type(into).__name__}, and {tuple(shapes[number][place])} as stored"
                )
    total = sum(parameter.numel() for parameter in parameters.values())
    for key, values in state.items():
        if key in parameters and isinstance(values, Mapping):
            for name, value in values.items():
                _check_state(name, key, value, parameters[key], total, into)


def _check_options(group: Any, own: Mapping[str, Any], into: Any) -> None:
    """Check that a group is one of this kind of optimizer, by the options that it has."""
    kind = type(into).__name__
    if not isinstance(group, Mapping) or not isinstance(group.get("params"), list):
        raise StateFitError("its groups are not those of an optimizer")
    missing = [name for name in into.defaults if name not in group]
    if missing:
        raise StateFitError(
            f"it has no option {missing[0]!r}, which {kind} has: it is the state of another "
            "kind of optimizer"
        )
    known = set(own) | set(into.defaults) | _NOT_OPTIONS
    surplus = [name for name in group if name not in known and name in _options()]
    if surplus:
        raise StateFitError(
            f"it has the option {surplus[0]!r}, which {kind} has not: it is the state of "
            "another kind of optimizer"
        )
    # An option that cannot be given is part of what the class is (AdamW's way of decay).
    given = inspect.signature(type(into)).parameters
    for name, value in into.defaults.items():
        is_fixed = name not in given and isinstance(value, bool)
        if is_fixed and group[name] != value:
            raise StateFitError(
                f"its option {name!r} is {group[name]!r}, and that of {kind} is always {value!r}"
            )


@functools.cache
def _options() -> frozenset[str]:
    """Return every option that some optimizer of PyTorch takes."""
    torch = sys.modules["torch"]
    kinds = (kind for kind in vars(torch.optim).values() if isinstance(kind, type))
    return frozenset(name for kind in kinds for name in inspect.signature(kind).parameters)


def _check_state(name: str, key: Any, value: Any, parameter: Any, total: int, into: Any) -> None:
    """Check a value of an optimizer's state by the shape of the parameter that it belongs to."""
    if not is_tensor(value):
        for item in value if isinstance(value, list | tuple) else ():
            _check_state(name, key, item, parameter, total, into)
        return
    shape, own = tuple(value.shape), tuple(parameter.shape)
    fitting = {own}
    if name in _NUMBERS or not value.shape:
        # A number beside a parameter that is none: only what is always one may be it.
        fitting = {()} if name in _NUMBERS or not _is_torchs(into) else fitting
    if name in _REDUCED and len(own) > 1:
        fitting = {_reduced(own, _REDUCED[name])}
    if type(into).__name__ == "LBFGS":
        fitting |= {(total,), ()}
    if shape in fitting or (not _is_torchs(into) and set(shape) <= {*own, 1}):
        return
    raise StateFitError(
        f"{name!r} of parameter {key} has shape {shape} as stored, and the parameter has shape "
        f"{own} in the {type(into).__name__}"
    )


def _is_torchs(into: Any) -> bool:
    return type(into).__module__.startswith("torch.optim")


def _reduced(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    sizes = list(shape)
    sizes[axis] = 1
    return tuple(sizes)


def check_scheduler(stored: Mapping[str, Any], into: Any) -> None:
    """Check that a ``state_dict`` fits a scheduler: its kind, and the groups that it is for.

    Raises
    ------
    StateFitError
        If it does not.
    """
    own, kind = into.state_dict(), type(into).__name__
    missing = [name for name in own if name not in stored]
    surplus = [name for name in stored if name not in own]
    if missing or surplus:
        raise StateFitError(
            (f"it has no {missing[0]!r}" if missing else f"it has {surplus[0]!r}")
            + f", unlike a {kind}: it is the state of another kind of scheduler"
        )
    for name, value in own.items():
        if type(value) is list and type(stored[name]) is not list:
            raise StateFitError(
                f"its {name!r} is a {type(stored[name]).__name__}, and in a {kind} it is a list"
            )
        if type(value) is list and name != "_milestones" and len(stored[name]) != len(value):
            raise StateFitError(
                f"its {name!r} has {len(stored[name])} entries, and that of the {kind} has "
                f"{len(value)}: it belongs to another optimizer"
            )
    inner = getattr(into, "_schedulers", [])
    for state, scheduler in zip(own and stored.get("_schedulers", []), inner, strict=True):
        check_scheduler(state, scheduler)
