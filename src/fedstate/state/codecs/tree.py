"""Plain Python objects as JSON, with arrays and tensors beside it: the form of nested values.

JSON alone would turn tuples into lists, integer keys into strings, and refuse bytes. What it
cannot hold unchanged is stored by one of the kinds in `fedstate.state.kinds`. Keys are sorted:
dictionaries that are equal are stored equally, in whatever order they were made.
"""

import base64
import json
import math
import struct
from typing import Any, NamedTuple

from flwr.app import Array

from fedstate.state.codecs.scalars import is_unicode
from fedstate.state.errors import StateDamagedError, StateTypeError
from fedstate.state.kinds import (
    classes,
    containers,
    estimators,
    nested,
    numpy_values,
    plain,
    tables,
    tensorflow_values,
    torch_values,
)
from fedstate.state.kinds.base import MARK, Branch, Kind, Reader, inline_array

_MAX_DEPTH = 64
_JSON_INT = 2**63
_MALFORMED = (
    *(ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError),
    struct.error,
)

# The order matters only for what says by more than its type what it takes.
KINDS: tuple[Kind, ...] = (
    *classes.KINDS,
    *containers.KINDS,
    *plain.KINDS,
    *numpy_values.KINDS,
    *torch_values.KINDS,
    *tensorflow_values.KINDS,
    *tables.KINDS,
    *estimators.KINDS,
    *nested.KINDS,
)
_BY_TYPE = {kind: entry for entry in KINDS for kind in entry.types}
_BY_MARK = {entry.mark: entry for entry in KINDS}
_BY_CONTENT = [entry for entry in KINDS if entry.accepts is not None]


class Tree(NamedTuple):
    """A nested value as it is stored.

    Attributes
    ----------
    text : str
        The structure, as JSON.
    arrays : dict[str, Array]
        The arrays that it refers to by key, in the order in which they were found.
    version : int
        The version of the codec ``object`` that can read it.
    """

    text: str
    arrays: dict[str, Array]
    version: int


class _Writer:
    """Turns one value into JSON, and collects the arrays in it."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.version = 1

    def array(self, array: Array, branch: Branch) -> Any:
        """Store an array under the path of its place."""
        if branch.is_inline:
            self.version = 2
            return inline_array(array)
        key = name = "/".join(branch.path) if branch.path else "value"
        number = 1
        while key in self.arrays:  # two keys of a dictionary may look alike, such as NaN
            number += 1
            key = f"{name}#{number}"
        self.arrays[key] = array
        return key

    def node(self, value: object, branch: Branch) -> Any:
        """Return `value`, which stands at the place `branch`, as JSON."""
        if len(branch.path) > _MAX_DEPTH:
            raise StateTypeError(
                f"it is nested deeper than {_MAX_DEPTH} levels, or contains itself"
            )
        kind = type(value)
        if value is None or kind is bool:
            return value
        if isinstance(value, int) and kind is int:
            small = -_JSON_INT <= value < _JSON_INT
            return value if small else _marked("int", f"{value:x}")
        if isinstance(value, float) and kind is float:
            finite = math.isfinite(value)
            return value if finite else _marked("float", struct.pack(">d", value).hex())
        if isinstance(value, str) and kind is str:
            return value if is_unicode(value) else _marked("str", _utf8(value).hex())
        if isinstance(value, bytes) and kind is bytes:
            return _marked("bytes", base64.b64encode(value).decode())
        if torch_values.is_module(value):
            return self.node(value.state_dict(), branch)  # type: ignore[attr-defined]
        registered = classes.KINDS[0]
        if registered.accepts is not None and registered.accepts(value):
            return self._kind_node(registered, value, branch)
        if isinstance(value, list | tuple) and kind in (list, tuple):
            nodes = [self.node(v, branch.child(str(i))) for i, v in enumerate(value)]
            return nodes if kind is list else _marked("tuple", nodes)
        if isinstance(value, dict) and kind is dict:
            return self._dict_node(value, branch)
        entry = _BY_TYPE.get(kind) or next((e for e in _BY_CONTENT if _takes(e, value)), None)
        if entry is None:
            raise StateTypeError(f"{branch.shown} is {_refusal(value)}")
        return self._kind_node(entry, value, branch)

    def _kind_node(self, entry: Kind, value: object, branch: Branch) -> Any:
        self.version = max(self.version, entry.since)
        return _marked(entry.mark, entry.encode(value, branch))

    def _dict_node(self, value: dict[Any, Any], branch: Branch) -> Any:
        if all(type(key) is str and is_unicode(key) for key in value) and MARK not in value:
            return {key: self.node(item, branch.child(key)) for key, item in value.items()}
        return _marked("dict", containers.dict_pairs(value, branch))


def to_tree(value: object) -> Tree:
    """Return `value` as JSON text, and the arrays that it refers to by key.

    Raises
    ------
    StateTypeError
        If something in it is of another type; it is named by its place.
    """
    writer = _Writer()
    node = writer.node(value, Branch((), writer))
    text = json.dumps(node, sort_keys=True, separators=(",", ":"))
    return Tree(text, writer.arrays, writer.version)


def from_tree(text: str, arrays: dict[str, Array]) -> Any:
    """Return the value that `to_tree` made `text` and `arrays` from.

    Raises
    ------
    StateDamagedError
        If they are not what `to_tree` writes.
    """
    try:
        unused = dict(arrays)
        value = read_node(json.loads(text), Reader(unused, read_node))
    except _MALFORMED as error:
        raise StateDamagedError(f"its structure cannot be read: {error!r}") from None
    if unused:
        raise StateDamagedError(f"its structure does not mention the arrays {sorted(unused)}")
    return value


def read_node(node: Any, reader: Reader) -> Any:
    """Return the value that a part of the JSON stands for."""
    if isinstance(node, list):
        return [reader.value(item) for item in node]
    if not isinstance(node, dict):
        return node
    if MARK not in node:
        return {key: reader.value(item) for key, item in node.items()}
    content = node["of"]
    match node[MARK]:
        case "tuple":
            return tuple(reader.value(item) for item in content)
        case "dict":
            return dict(containers.read_pairs(content, reader))
        case "int":
            return int(content, 16)
        case "float":
            return struct.unpack(">d", bytes.fromhex(content))[0]
        case "str":
            return bytes.fromhex(content).decode("utf-8", "surrogatepass")
        case "bytes":
            return base64.b64decode(content, validate=True)
        case mark if mark in _BY_MARK:
            return _BY_MARK[mark].decode(content, reader)
        case other:
            raise StateDamagedError(f"its structure has a part of the unknown kind {other!r}")


def _takes(entry: Kind, value: object) -> bool:
    return entry.accepts is not None and entry.accepts(value)


def _refusal(value: object) -> str:
    """Return what a value is that cannot be stored, and what to do about it."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if hasattr(kind, "__dataclass_fields__"):
        return (
            f"a {name}, a dataclass that is not registered; put "
            f'@fedstate.state.stored("myapp.{kind.__name__.lower()}") above it'
        )
    return (
        f"a {name}, which no codec stores; convert it to plain Python, or register its type "
        "(fedstate.state.register)"
    )


def _marked(kind: str, content: Any) -> dict[str, Any]:
    return {MARK: kind, "of": content}


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
