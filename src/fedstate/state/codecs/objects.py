"""Nested Python values (dict, list, tuple, bytes, …) with arrays and tensors anywhere in them.

The structure is JSON; the arrays in it become one Flower Array each, so that a store which
keeps arrays by content does not write again those that did not change.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from flwr.app import ArrayRecord, ConfigRecord

from fedstate.state.codecs.base import Codec, Encoded, Migration
from fedstate.state.codecs.torch_load import load_state
from fedstate.state.codecs.tree import from_tree, to_tree
from fedstate.state.errors import StateDamagedError

_KEY = "json"


def encode_object(value: object) -> Encoded:
    """Return the stored form of a nested value."""
    text, arrays, version = to_tree(value)
    if arrays:
        ordered = {key: arrays[key] for key in sorted(arrays)}
        return Encoded(ArrayRecord(ordered), {_KEY: text}, version=version)
    return Encoded(ConfigRecord({_KEY: text}), version=version)


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
    # Version 2 has more kinds of values; what consists of the old ones is still version 1.
    version = 2
    migrations: ClassVar[Mapping[int, Migration]] = {1: lambda encoded: encoded}
    described: ClassVar = (
        ("`None`, `dict`, `list`, `tuple`, nested", "the same; dictionaries sorted by key"),
    )

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
        """Give the value to ``into.load_state_dict``, after what is known of it was checked.

        Raises
        ------
        StateFitError
            If it has no such method, or the value does not fit; it is as it was then.
        """
        if not hasattr(into, "load_state_dict"):
            super().load(encoded, into)
        load_state(decode_object(encoded), into)
