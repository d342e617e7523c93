"""Scalars and lists of one type of scalar, in the form in which Flower itself carries them."""

from typing import Any, ClassVar

from flwr.app import ConfigRecord

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.errors import StateDamagedError

_TYPES = (bool, int, float, str, bytes)
_KEY = "value"


class ScalarCodec(Codec[Any]):
    """``3``, ``"text"``, ``b"bytes"``, ``[0.5, 0.25]``: one entry of a ConfigRecord."""

    tag = "scalar"
    described: ClassVar = (
        ("`bool`, `int`, `float`, `str`, `bytes`, and lists of one of them", "the same"),
    )

    def accepts(self, value: object) -> bool:
        """Return whether Flower brings `value` back unchanged."""
        items: list[Any] = value if isinstance(value, list) else [value]
        kind = type(items[0]) if items else None
        if kind not in _TYPES or any(type(item) is not kind for item in items):
            return False
        if kind is int:
            return all(-(2**63) <= item < 2**63 for item in items)
        return kind is not str or all(map(is_unicode, items))

    def encode(self, value: Any) -> Encoded:
        """Return a ConfigRecord with the value."""
        return Encoded(ConfigRecord({_KEY: list(value) if isinstance(value, list) else value}))

    def decode(self, encoded: Encoded) -> Any:
        """Return the value."""
        record = encoded.record
        if not isinstance(record, ConfigRecord) or set(record) != {_KEY}:
            raise StateDamagedError(f"its record is not a ConfigRecord with the one key {_KEY!r}")
        value = record[_KEY]
        return list(value) if isinstance(value, list) else value


def is_unicode(text: str) -> bool:
    """Return whether `text` has no lone surrogates, which no encoding for exchange can carry."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
