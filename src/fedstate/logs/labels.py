"""What the lines of the moment are about: a run, a node, a round, a message.

Labels hold in a block, in the thread or task that runs it and in those that it starts with its
context. Nobody passes them on from function to function.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar

# By their names, in the order in which a line shows them.
NAMES = ("run", "node", "round", "message")

_NONE: MutableMapping[str, str] = {}
_current: ContextVar[MutableMapping[str, str]] = ContextVar("labels")


@contextmanager
def labelled(
    *,
    run: int | str = "",
    node: int | str = "",
    round: int | str = "",  # noqa: A002  the name of the label
    message: str = "",
) -> Iterator[None]:
    """Label the lines that are logged in the block; what is not given stays as it was."""
    token = _current.set({**current(), **_given(run, node, round, message)})
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def of_each_request() -> Iterator[None]:
    """Begin with no labels; what `note_labels` adds in the block holds until its end.

    It is for a request that passes through tasks and threads of its own, each of which has a
    copy of the context: they share what is noted.
    """
    token = _current.set({})
    try:
        yield
    finally:
        _current.reset(token)


def note_labels(
    *,
    run: int | str = "",
    node: int | str = "",
    round: int | str = "",  # noqa: A002
    message: str = "",
) -> None:
    """Add labels to the innermost block that there is; without one, nothing happens."""
    labels = _current.get(_NONE)
    if labels is not _NONE:
        labels.update(_given(run, node, round, message))


def current() -> dict[str, str]:
    """Return the labels of the moment."""
    return dict(_current.get(_NONE))


def _given(*values: int | str) -> dict[str, str]:
    return {name: str(value) for name, value in zip(NAMES, values, strict=True) if value}
