"""What a kind is: how one type of value stands in the JSON of a nested value.

A value that JSON cannot hold unchanged becomes an object with the key ``@``, which names its
kind, and ``of``, which is its content. Arrays stand beside the JSON, which names their keys.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from flwr.app import Array

from fedstate.state.errors import StateDamagedError, StateTypeError

MARK = "@"

Row = tuple[str, str]


@dataclass
class Branch:
    """A place in a nested value that is being stored.

    Attributes
    ----------
    path : tuple[str, ...]
        The keys and positions that lead to it.
    writer : Writer
        What stores the values under it.
    is_inline : bool
        Whether arrays go into the JSON itself. So they do in the keys of dictionaries and the
        elements of sets, which have no place that could name an array.
    """

    path: tuple[str, ...]
    writer: "Writer"
    is_inline: bool = False

    @property
    def shown(self) -> str:
        """What to call the place in an error."""
        return "/".join(self.path) or "it"

    def child(self, key: str) -> "Branch":
        """Return the place under `key`, which is escaped so that no two places share a path."""
        part = key.replace("~", "~0").replace("/", "~1")
        return Branch((*self.path, part), self.writer, self.is_inline)

    def inline(self) -> "Branch":
        """Return the same place, with arrays in the JSON itself."""
        return Branch(self.path, self.writer, is_inline=True)

    def node(self, value: object) -> Any:
        """Return `value`, which stands at this place, as JSON."""
        return self.writer.node(value, self)

    def array(self, array: Array) -> Any:
        """Store an array at this place, and return what the JSON says of it."""
        return self.writer.array(array, self)


class Writer(Protocol):
    """What turns nested values into JSON, and collects the arrays in them."""

    def node(self, value: object, branch: Branch) -> Any:
        """Return `value` as JSON."""
        ...

    def array(self, array: Array, branch: Branch) -> Any:
        """Store an array, and return what the JSON says of it."""
        ...


@dataclass
class Reader:
    """What turns JSON into nested values again.

    Attributes
    ----------
    arrays : dict[str, Array]
        The arrays by key that were not read yet.
    read : Callable
        Turns one part of the JSON into its value.
    """

    arrays: dict[str, Array]
    read: Callable[[Any, "Reader"], Any] = field(repr=False)

    def value(self, node: Any) -> Any:
        """Return the value that `node` stands for."""
        return self.read(node, self)

    def array(self, content: Any) -> Array:
        """Return the array that the JSON refers to, or holds."""
        if isinstance(content, str):
            return self.arrays.pop(content)
        dtype, shape, stype, data = content
        return Array(str(dtype), tuple(shape), str(stype), base64.b64decode(data, validate=True))


def inline_array(array: Array) -> list[Any]:
    """Return an array as JSON."""
    data = base64.b64encode(array.data).decode()
    return [array.dtype, list(array.shape), array.stype, data]


@dataclass(frozen=True)
class Kind:
    """How values of some types are stored in a nested value.

    Attributes
    ----------
    mark : str
        The name that is stored with each; never change it.
    types : tuple[type, ...]
        The very types that it stores; subclasses may hold more.
    encode : Callable[[Any, Branch], Any]
        Returns the content as JSON.
    decode : Callable[[Any, Reader], Any]
        Returns the value.
    row : Row | None
        What the guide's table says of it; None where another row speaks of it.
    accepts : Callable[[object], bool] | None
        For types that are known only when a framework is imported, or by more than the type.
    since : int
        The version of the codec ``object`` that can read it.
    """

    mark: str
    types: tuple[type, ...]
    encode: Callable[[Any, Branch], Any]
    decode: Callable[[Any, Reader], Any]
    row: Row | None = None
    accepts: Callable[[object], bool] | None = None
    since: int = 2


def as_plain(
    mark: str,
    kind: type,
    encode: Callable[[Any], Any],
    decode: Callable[[Any], Any],
    row: Row | None = None,
) -> Kind:
    """Return a kind whose content is another value, which can be stored itself."""
    return Kind(
        mark,
        (kind,),
        lambda value, branch: branch.node(encode(value)),
        lambda content, reader: decode(reader.value(content)),
        row,
    )


def only(value: Any, *types: type) -> Any:
    """Return `value`, which was read, after checking that it has one of these very types.

    Raises
    ------
    StateDamagedError
        If it has not: no decoder may be led to call something else by what is stored.
    """
    if type(value) not in types:
        raise StateDamagedError(f"its structure has {value!r:.80} in a place where it cannot be")
    return value


def no_attributes(value: object, branch: Branch) -> None:
    """Check that an object has no attributes of its own, which would be lost.

    Raises
    ------
    StateTypeError
        If it has.
    """
    attributes: Mapping[str, Any] = getattr(value, "__dict__", {})
    if attributes:
        raise StateTypeError(
            f"{branch.shown} is a {type(value).__qualname__} with the attribute "
            f"{next(iter(attributes))!r}, which would be lost; keep that value beside it"
        )
