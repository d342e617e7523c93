"""Types of the app's own, by functions to and from plain values, or by one decorator."""

import builtins
import dataclasses
import enum
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.objects import decode_object, encode_object
from fedstate.state.errors import StateTypeError, StateVersionError
from fedstate.state.kinds.classes import member, member_name

Migrations = Mapping[int, Callable[[Any], Any]]


class TypeCodec(Codec[Any]):
    """A type of the app's own, by two functions to and from plain values.

    Its migrations work on those plain values, not on records.
    """

    described: ClassVar = ()

    def __init__(
        self,
        kind: type,
        tag: str,
        version: int,
        encode: Callable[[Any], Any],
        decode: Callable[[Any], Any],
        migrations: Migrations,
    ) -> None:
        self.kind = kind
        self.name = f"{kind.__module__}.{kind.__qualname__}"
        self.tag = tag  # type: ignore[misc]
        self.version = version  # type: ignore[misc]
        self._encode = encode
        self._decode = decode
        self._steps = dict(migrations)
        self.migrations = {  # type: ignore[misc]
            old: _on_plain_values(step) for old, step in migrations.items()
        }

    def accepts(self, value: object) -> bool:
        """Return whether `value` is of this very type: a subclass may hold more."""
        return type(value) is self.kind

    def encode(self, value: Any) -> Encoded:
        """Return the stored form of the plain value that the app makes of `value`."""
        encoded = encode_object(self.to_plain(value))
        return dataclasses.replace(encoded, version=None)

    def decode(self, encoded: Encoded) -> Any:
        """Return what the app makes of the plain value."""
        return self._decode(decode_object(encoded))

    def to_plain(self, value: Any) -> Any:
        """Return the plain value that the app makes of `value`."""
        return self._encode(value)

    def from_plain(self, plain: Any, version: int) -> Any:
        """Return what the app makes of a plain value that was stored in a version of its form."""
        for old in range(version, self.version):
            plain = self._steps[old](plain)
        return self._decode(plain)


def _on_plain_values(step: Callable[[Any], Any]) -> Callable[[Encoded], Encoded]:
    return lambda encoded: encode_object(step(decode_object(encoded)))


def codec_of_class(kind: Any, tag: str, version: int, migrations: Migrations) -> TypeCodec:
    """Return the codec of a dataclass, an enumeration or a named tuple.

    Raises
    ------
    StateTypeError
        If it is another class.
    """
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        base = next(each for each in kind.__mro__ if vars(builtins).get(each.__name__) is each)
        if base is not object:
            raise StateTypeError(
                f"stored({tag!r}) was put above {kind.__qualname__}, which derives from "
                f"{base.__name__}, so it holds more than its fields; register it with two "
                "functions instead (fedstate.state.register)."
            )
        encode, decode = _attributes, partial(_dataclass, kind)
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        encode, decode = member_name, partial(member, kind)
    elif isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        encode, decode = _fields, partial(_named_tuple, kind)
    else:
        raise StateTypeError(
            f"stored({tag!r}) was put above {kind!r}, which is no dataclass, enumeration or "
            "named tuple; register it with two functions instead (fedstate.state.register)."
        )
    return TypeCodec(kind, tag, version, encode, decode, migrations)


def _attributes(value: Any) -> dict[str, Any]:
    """Return everything that a dataclass's object holds, fields or not."""
    names = [field.name for field in dataclasses.fields(value)]
    found = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return found | getattr(value, "__dict__", {})


def _dataclass(kind: Any, stored: Any) -> Any:
    """Return an object with the stored attributes, without calling anything of the class's."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    value = object.__new__(kind)
    found = dict(stored)
    for name, field in fields.items():
        if name in found:
            continue
        if field.default is not dataclasses.MISSING:
            found[name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[name] = field.default_factory()
        elif field.init:
            raise StateVersionError(
                f"the dataclass {kind.__qualname__} has a field {name!r} that was not stored; "
                "give the field a default, or raise the version and say how it comes about "
                "(migrations)"
            )
    for name, item in found.items():
        try:
            object.__setattr__(value, name, item)
        except AttributeError:
            raise StateVersionError(
                f"the dataclass {kind.__qualname__} has no field {name!r} any more, which was "
                "stored; raise the version and say what becomes of it (migrations)"
            ) from None
    return value


def _fields(value: Any) -> dict[str, Any]:
    return dict(zip(value._fields, value, strict=True))


def _named_tuple(kind: Any, stored: Any) -> Any:
    if set(stored) != set(kind._fields):
        raise StateVersionError(
            f"the named tuple {kind.__qualname__} has the fields {', '.join(kind._fields)}, and "
            f"stored are {', '.join(stored)}; raise the version and give a migration"
        )
    return tuple.__new__(kind, [stored[name] for name in kind._fields])
