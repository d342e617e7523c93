"""Nested Python values (dict, list, tuple, bytes, …) with arrays and tensors anywhere in them.

The structure is JSON; the arrays in it become one Flower Array each, so that a store which
keeps arrays by content does not write again those that did not change.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.tree import from_tree, to_tree
from fedstate.state.errors import StateDamagedError, StateFitError

_KEY = "json"


def encode_object(value: object) -> Encoded:
    """Return the stored form of a nested value."""
    text, arrays = to_tree(value)
    if arrays:
        return Encoded(ArrayRecord(arrays), {_KEY: text})
    return Encoded(ConfigRecord({_KEY: text}))


def decode_object(encoded: Encoded) -> Any:
    """Return the value that `encode_object` stored."""
    record = encoded.record
    if isinstance(record, ArrayRecord):
        text, arrays = encoded.meta.get(_KEY), dict(record)
    else:
        text, arrays = record.get(_KEY), {}
    if not isinstance(text, str):
        raise StateDamagedError("its record holds no structure")
    return from_tree(text, arrays)


class ObjectCodec(Codec[Any]):
    """Nested values; what no other codec takes is tried here, and refused with its place."""

    tag = "object"

    def accepts(self, value: object) -> bool:  # noqa: ARG002
        """Return True; `encode` tells which part of a value cannot be stored."""
        return True

    def encode(self, value: Any) -> Encoded:
        """Return the structure as JSON, with an Array for each array in it."""
        return encode_object(value)

    def decode(self, encoded: Encoded) -> Any:
        """Return the value; what was read may be changed in place."""
        return decode_object(encoded)

    def load(self, encoded: Encoded, into: object) -> None:
        """Give the value to ``into.load_state_dict``, as PyTorch's optimizers have it.

        Raises
        ------
        StateFitError
            If it has no such method, or refuses the value.
        """
        load_state_dict = getattr(into, "load_state_dict", None)
        if load_state_dict is None:
            super().load(encoded, into)
        value = decode_object(encoded)
        try:
            load_state_dict(value)  # type: ignore[misc]
        except (ValueError, KeyError, TypeError) as error:
            raise StateFitError(f"{type(into).__name__} does not take it: {error}") from error


class TypeCodec(Codec[Any]):
    """A type of the app's own, by two functions to and from plain values.

    Its migrations work on those plain values, not on records.
    """

    def __init__(
        self,
        kind: type,
        tag: str,
        version: int,
        encode: Callable[[Any], Any],
        decode: Callable[[Any], Any],
        migrations: Mapping[int, Callable[[Any], Any]],
    ) -> None:
        self.kind = kind
        self.name = f"{kind.__module__}.{kind.__qualname__}"
        self.tag = tag  # type: ignore[misc]
        self.version = version  # type: ignore[misc]
        self._encode = encode
        self._decode = decode
        self.migrations = {  # type: ignore[misc]
            old: _on_plain_values(step) for old, step in migrations.items()
        }

    def accepts(self, value: object) -> bool:
        """Return whether `value` is of this very type: a subclass may hold more."""
        return type(value) is self.kind

    def encode(self, value: Any) -> Encoded:
        """Return the stored form of the plain value that the app makes of `value`."""
        return encode_object(self._encode(value))

    def decode(self, encoded: Encoded) -> Any:
        """Return what the app makes of the plain value."""
        return self._decode(decode_object(encoded))


def _on_plain_values(step: Callable[[Any], Any]) -> Callable[[Encoded], Encoded]:
    return lambda encoded: encode_object(step(decode_object(encoded)))
