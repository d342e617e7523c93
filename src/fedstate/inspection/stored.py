"""What a value is stored as: its type in words, and its content without the code of its app."""

import json
from collections.abc import Mapping
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from numpy.typing import NDArray

from fedstate.state.codecs.npy import decode_array
from fedstate.state.codecs.registry import codecs
from fedstate.state.codecs.tree import read_node
from fedstate.state.content import Stored
from fedstate.state.errors import (
    StateDamagedError,
    StateError,
    StateTypeError,
    StateVersionError,
)
from fedstate.state.kinds.base import MARK, Reader

Record = ArrayRecord | MetricRecord | ConfigRecord

# What a value says of its structure, beside its arrays.
STRUCTURE = "json"
_NAMES = {
    "numpy.array": "array",
    "history": "history",
    "keras.weights": "Keras weights",
    "keras.optimizer": "Keras optimizer",
    "torch.state_dict": "PyTorch state_dict",
    "torch.optimizer": "PyTorch optimizer",
    "torch.scheduler": "PyTorch scheduler",
}
# What is never made of what is stored, but shown as arrays: a framework would be imported.
_FRAMEWORKS = ("tensor", "special tensor", "parameter", "uninitialized", "torch", "keras", "tf.")
# What kinds of nested values are called by those who have them.
_KINDS = {
    "scalar": "NumPy number",
    "tensor": "PyTorch tensor",
    "special tensor": "PyTorch tensor",
    "parameter": "PyTorch parameter",
    "sklearn": "scikit-learn estimator",
}


def type_name(record: Record, stored: Stored | None) -> str:
    """Return in words what a value is.

    Parameters
    ----------
    record : Record
        Its record; the data of larger arrays is not looked at.
    stored : Stored, optional
        What the manifest says of it; None for a record that an app stored itself.
    """
    if stored is None:
        return type(record).__name__
    if stored.tag in _NAMES:
        return _NAMES[stored.tag]
    if stored.tag == "scalar":
        value = record.get("value")
        if isinstance(value, list):
            return f"list of {type(value[0]).__name__}" if value else "list"
        return type(value).__name__
    if stored.tag == "object":
        return _type_of_tree(_text(record, stored))
    known = any(codec.tag == stored.tag for codec in codecs)
    return stored.tag if known else f"{stored.tag} (not registered here)"


def _type_of_tree(text: str) -> str:
    try:
        node = json.loads(text)
    except (ValueError, RecursionError):
        return "unreadable"
    if not isinstance(node, dict):
        return "None" if node is None else type(node).__name__
    if MARK not in node:
        return "dict"
    mark, content = str(node[MARK]), node.get("of")
    if mark == "registered" and isinstance(content, list) and content:
        tag = str(content[0])
        known = any(codec.tag == tag for codec in codecs)
        return tag if known else f"{tag} (not registered here)"
    if mark in ("namedtuple", "enum") and isinstance(content, list) and len(content) > 1:
        return str(content[1])
    return _KINDS.get(mark, mark)


def _text(record: Record, stored: Stored) -> str:
    text = (
        stored.meta.get(STRUCTURE) if isinstance(record, ArrayRecord) else record.get(STRUCTURE)
    )
    return text if isinstance(text, str) else ""


def as_stored(record: Record, stored: Stored | None) -> Any:
    """Return what a record holds, as plain values and arrays, whatever codec stored it.

    Raises
    ------
    StateDamagedError
        It cannot be read.
    """
    text = _text(record, stored) if stored else ""
    if text:
        arrays = dict(record) if isinstance(record, ArrayRecord) else {}
        return _plain_tree(text, arrays)
    if isinstance(record, ArrayRecord):
        return {key: as_numpy(array) for key, array in record.items()}
    return {key: list(v) if isinstance(v, list) else v for key, v in record.items()}


def as_numpy(array: Array) -> NDArray[Any]:
    """Return a Flower Array as a NumPy array that cannot be written to, whoever has made it.

    Raises
    ------
    StateDamagedError
        It cannot be read.
    """
    try:
        return decode_array(array)
    except StateTypeError:
        # A type of ml_dtypes, which is not installed: NumPy has these elements as bytes.
        pass
    except StateDamagedError:
        pass
    try:
        # What other code than ours has written, such as arrays in the order of Fortran.
        numpy: NDArray[Any] = array.numpy()
    except Exception as error:
        raise StateDamagedError(
            f"an array of dtype {array.dtype} and shape {tuple(array.shape)} cannot be read: "
            f"{error}"
        ) from error
    if tuple(array.shape) != numpy.shape:
        raise StateDamagedError(
            f"an array says that it has shape {tuple(array.shape)}, its data says {numpy.shape}"
        )
    return numpy


def _plain_tree(text: str, arrays: Mapping[str, Array]) -> Any:
    """Return a nested value, with plain values in the places of what this process cannot make."""
    try:
        return _plain(json.loads(text), Reader(dict(arrays), _plain))
    except StateError:
        raise
    except Exception as error:
        # Whatever malformed content may lead to.
        raise StateDamagedError(f"its structure cannot be read: {error!r}") from error


def _plain(node: Any, reader: Reader) -> Any:
    if not isinstance(node, dict) or MARK not in node:
        return read_node(node, reader)
    mark, content = str(node[MARK]), node["of"]
    if not mark.startswith(_FRAMEWORKS):
        before = dict(reader.arrays)
        try:
            return read_node(node, reader)
        except (StateVersionError, StateTypeError):
            reader.arrays.clear()
            reader.arrays.update(before)
    match mark, content:
        case "registered", [_, _, inner]:
            return reader.value(inner)
        case "namedtuple", [_, _, fields, items]:
            return dict(zip(fields, map(reader.value, items), strict=True))
        case "enum", [_, name, inner]:
            return f"{name}.{reader.value(inner)}"
        case "tensor", _:
            return as_numpy(reader.array(content))
        case _:
            return {MARK: mark, "of": _parts(content, reader)}


def _parts(content: Any, reader: Reader) -> Any:
    """Return what a part is stored as that nothing here can make anything of."""
    if isinstance(content, list):
        return [_parts(item, reader) for item in content]
    if isinstance(content, dict):
        if MARK in content:
            return reader.value(content)
        return {key: _parts(item, reader) for key, item in content.items()}
    if isinstance(content, str) and content in reader.arrays:
        return as_numpy(reader.array(content))
    return content
