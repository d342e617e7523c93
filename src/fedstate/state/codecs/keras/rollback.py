"""A model or optimizer as it was, to the byte, if loading fails halfway."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_CONTAINERS = (list, dict, set)


@contextmanager
def all_or_nothing(objects: Iterable[Any], variables: Iterable[Any]) -> Iterator[None]:
    """Put everything back if the block raises.

    Parameters
    ----------
    objects : Iterable[Any]
        Layers and optimizers; their attributes, and what is in lists, dictionaries and sets in
        them, are put back.
    variables : Iterable[Any]
        Variables; their values are put back.
    """
    values = [(variable, _value(variable)) for variable in variables]
    attributes = [(item, dict(vars(item))) for item in objects]
    containers: dict[int, tuple[Any, Any]] = {}
    for _, saved in attributes:
        for value in saved.values():
            _keep(value, containers)
    try:
        yield
    except BaseException:
        for item, saved in attributes:
            now = vars(item)
            for name in [name for name in now if name not in saved]:
                del now[name]
            now.update(saved)
        for container, saved in containers.values():
            _restore(container, saved)
        for variable, value in values:
            variable.assign(value)
        raise


def _value(variable: Any) -> Any:
    """Return a variable's value; TensorFlow and JAX write a new one elsewhere."""
    value = variable.value
    if hasattr(value, "read_value"):
        return value.read_value()
    return value.clone() if hasattr(value, "clone") else value


def _keep(value: Any, containers: dict[int, tuple[Any, Any]]) -> None:
    """Remember what is in a container, and in those in it."""
    value = _plain(value)
    if value is None or id(value) in containers:
        return
    if isinstance(value, list):
        content: Any = list(list.__iter__(value))
    elif isinstance(value, dict):
        content = dict(dict.items(value))
    else:
        content = set(set.__iter__(value))
    containers[id(value)] = (value, content)
    if not isinstance(value, set):
        for item in content.values() if isinstance(value, dict) else content:
            _keep(item, containers)


def _plain(value: Any) -> Any:
    """Return the container in which the content is: TensorFlow wraps those of attributes."""
    for attribute in ("__wrapped__", "_storage"):
        inner = getattr(value, attribute, None) if isinstance(value, _CONTAINERS) else None
        if isinstance(inner, _CONTAINERS):
            return inner
    return value if isinstance(value, _CONTAINERS) else None


def _restore(container: Any, saved: Any) -> None:
    """Put content back past what Keras does when a container of its own changes."""
    if isinstance(container, list):
        list.__setitem__(container, slice(None), saved)
    elif isinstance(container, dict):
        dict.clear(container)
        dict.update(container, saved)
    else:
        set.clear(container)
        set.update(container, saved)
