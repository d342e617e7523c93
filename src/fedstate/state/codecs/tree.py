"""Plain Python objects as JSON, with arrays and tensors beside it: the form of nested values.

JSON alone would turn tuples into lists, integer keys into strings, and refuse bytes. A value
that JSON cannot hold unchanged becomes an object with the key ``@``, which names what it is.
Keys are sorted: dictionaries that are equal are stored equally, in whatever order they were made.
"""

import base64
import json
import math
import struct
from typing import Any

import numpy as np
from flwr.app import Array

from fedstate.state.codecs import tensors
from fedstate.state.codecs.npy import decode_array, encode_array
from fedstate.state.codecs.scalars import is_unicode
from fedstate.state.errors import StateDamagedError, StateTypeError

_MARK = "@"
_MAX_DEPTH = 64
_JSON_INT = 2**63
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error)


def to_tree(value: object) -> tuple[str, dict[str, Array]]:
    """Return `value` as JSON text, and the arrays that it refers to by key.

    Raises
    ------
    StateTypeError
        If something in it is of another type; it is named by its place.
    """
    arrays: dict[str, Array] = {}
    node = _node(value, (), arrays)
    text = json.dumps(node, sort_keys=True, separators=(",", ":"))
    return text, {key: arrays[key] for key in sorted(arrays)}


def from_tree(text: str, arrays: dict[str, Array]) -> Any:
    """Return the value that `to_tree` made `text` and `arrays` from.

    Raises
    ------
    StateDamagedError
        If they are not what `to_tree` writes.
    """
    try:
        unused = dict(arrays)
        value = _value(json.loads(text), unused)
    except _MALFORMED as error:
        raise StateDamagedError(f"its structure cannot be read: {error!r}") from None
    if unused:
        raise StateDamagedError(f"its structure does not mention the arrays {sorted(unused)}")
    return value


def _node(value: object, path: tuple[str, ...], arrays: dict[str, Array]) -> Any:
    if len(path) > _MAX_DEPTH:
        raise StateTypeError(f"it is nested deeper than {_MAX_DEPTH} levels, or contains itself")
    kind = type(value)
    if value is None or kind is bool:
        return value
    if isinstance(value, int) and kind is int:
        return value if -_JSON_INT <= value < _JSON_INT else _marked("int", f"{value:x}")
    if isinstance(value, float) and kind is float:
        return value if math.isfinite(value) else _marked("float", struct.pack(">d", value).hex())
    if isinstance(value, str) and kind is str:
        return value if is_unicode(value) else _marked("str", _utf8(value).hex())
    if isinstance(value, bytes) and kind is bytes:
        return _marked("bytes", base64.b64encode(value).decode())
    if isinstance(value, list | tuple) and kind in (list, tuple):
        nodes = [_node(v, (*path, str(i)), arrays) for i, v in enumerate(value)]
        return nodes if kind is list else _marked("tuple", nodes)
    if isinstance(value, dict) and kind is dict:
        return _dict_node(value, path, arrays)
    key = "/".join(path) if path else "value"
    if kind is np.ndarray or isinstance(value, np.generic):
        arrays[key] = encode_array(np.asarray(value))
        return _marked("array" if kind is np.ndarray else "scalar", key)
    if tensors.is_tensor(value):
        arrays[key] = tensors.encode_tensor(value)
        return _marked("tensor", key)
    raise StateTypeError(
        f"{'/'.join(path) or 'it'} is a {kind.__module__}.{kind.__qualname__}, which no codec "
        "stores; convert it to plain Python, or register its type (fedstate.state.register)"
    )


def _dict_node(value: dict[Any, Any], path: tuple[str, ...], arrays: dict[str, Array]) -> Any:
    if all(type(key) is str and is_unicode(key) for key in value) and _MARK not in value:
        return {key: _node(item, (*path, _escape(key)), arrays) for key, item in value.items()}
    pairs = []
    for key, item in value.items():
        if type(key) not in (str, int, float, bool, bytes, type(None)):
            raise StateTypeError(f"a dictionary has the key {key!r}; keys are str, int or bytes")
        pair_path = (*path, _escape(repr(key)))
        pairs.append([_node(key, pair_path, arrays), _node(item, pair_path, arrays)])
    return _marked("dict", sorted(pairs, key=lambda pair: json.dumps(pair[0], sort_keys=True)))


def _value(node: Any, arrays: dict[str, Array]) -> Any:
    if isinstance(node, list):
        return [_value(item, arrays) for item in node]
    if not isinstance(node, dict):
        return node
    if _MARK not in node:
        return {key: _value(item, arrays) for key, item in node.items()}
    content = node["of"]
    match node[_MARK]:
        case "tuple":
            return tuple(_value(item, arrays) for item in content)
        case "dict":
            return {_value(key, arrays): _value(item, arrays) for key, item in content}
        case "int":
            return int(content, 16)
        case "float":
            return struct.unpack(">d", bytes.fromhex(content))[0]
        case "str":
            return bytes.fromhex(content).decode("utf-8", "surrogatepass")
        case "bytes":
            return base64.b64decode(content, validate=True)
        case "array":
            return decode_array(arrays.pop(content)).copy()
        case "scalar":
            return decode_array(arrays.pop(content))[()]
        case "tensor":
            return tensors.decode_tensor(arrays.pop(content))
        case other:
            raise StateDamagedError(f"its structure has a part of the unknown kind {other!r}")


def _marked(kind: str, content: Any) -> dict[str, Any]:
    return {_MARK: kind, "of": content}


def _escape(key: str) -> str:
    """Return a key as one part of a path, so that no two places share a path."""
    return key.replace("~", "~0").replace("/", "~1")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
