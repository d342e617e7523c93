"""Classes of the app: registered types, named tuples and enumerations.

Named tuples and enumerations need no registration. Their class is looked up among the modules
that are imported already, and no module is imported for it. Only a class that is a named tuple or
an enumeration is taken: a tuple is made by `tuple` itself, a member is looked up by its name. So
stored data leads to no code that the app does not run anyway.
"""

import enum
import sys
from typing import Any

from fedstate.state.errors import StateDamagedError, StateTypeError, StateVersionError
from fedstate.state.kinds.base import Branch, Kind, Reader, no_attributes, only

# Classes that were stored in this process; some stand in functions, where no path leads to them.
_seen: dict[tuple[str, str], type] = {}


def is_named_tuple(value: object) -> bool:
    """Return whether `value` is a named tuple."""
    return isinstance(value, tuple) and _is_named_tuple_class(type(value))


def _is_named_tuple_class(kind: Any) -> bool:
    fields = getattr(kind, "_fields", None)
    return (
        isinstance(kind, type)
        and issubclass(kind, tuple)
        and isinstance(fields, tuple)
        and all(type(field) is str for field in fields)
    )


def _class_node(kind: type) -> list[str]:
    _seen[kind.__module__, kind.__qualname__] = kind
    return [kind.__module__, kind.__qualname__]


def _find_class(module: Any, name: Any, base: type) -> type:
    found: Any = sys.modules.get(only(module, str))
    for part in only(name, str).split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    kind: type | None = found if isinstance(found, type) else _seen.get((module, name))
    if kind is None:
        raise StateTypeError(
            f"it holds a {module}.{name}, and this process has no such class; import the module "
            f"{module!r} before reading, and define the class outside of functions"
        )
    if not issubclass(kind, base):
        raise StateDamagedError(f"its structure has a {module}.{name} as a {base.__name__}")
    return kind


def _named_tuple_node(value: Any, branch: Branch) -> list[Any]:
    no_attributes(value, branch)
    kind = type(value)
    items = [
        branch.child(name).node(item) for name, item in zip(kind._fields, value, strict=True)
    ]
    return [*_class_node(kind), list(kind._fields), items]


def _read_named_tuple(content: Any, reader: Reader) -> Any:
    module, name, fields, items = content
    kind = _find_class(module, name, tuple)
    if not _is_named_tuple_class(kind) or list(kind._fields) != fields:  # type: ignore[attr-defined]
        raise StateVersionError(
            f"it holds a {module}.{name} with the fields {', '.join(fields)}, and the class now "
            f"has {', '.join(getattr(kind, '_fields', ()))}; register it with "
            "@fedstate.state.stored to migrate it"
        )
    return tuple.__new__(kind, [reader.value(item) for item in items])


def member_name(value: enum.Enum) -> Any:
    """Return what is stored of a member: its name, or the number of a flag that has many."""
    return value.value if isinstance(value, enum.Flag) else value.name


def member(kind: Any, name: Any) -> enum.Enum:
    """Return the member of an enumeration.

    Raises
    ------
    StateVersionError
        If the enumeration has no such member any more.
    """
    if issubclass(kind, enum.Flag):
        value: enum.Enum = kind(only(name, int))
        return value
    members = kind.__members__
    if only(name, str) not in members:
        raise StateVersionError(
            f"it holds {kind.__qualname__}.{name}, and the enumeration has only "
            f"{', '.join(members)}"
        )
    found: enum.Enum = members[name]
    return found


def _enum_node(value: Any, branch: Branch) -> list[Any]:
    return [*_class_node(type(value)), branch.node(member_name(value))]


def _read_enum(content: Any, reader: Reader) -> Any:
    module, name, stored = content
    return member(_find_class(module, name, enum.Enum), reader.value(stored))


def _is_registered(value: object) -> bool:
    from fedstate.state.codecs.registry import codecs  # it imports this module itself

    return codecs.for_type(type(value)) is not None


def _registered_node(value: Any, branch: Branch) -> list[Any]:
    from fedstate.state.codecs.registry import codecs

    codec = codecs.for_type(type(value))
    if codec is None:
        raise StateTypeError(f"{branch.shown} is of a type that is not registered")
    return [codec.tag, codec.version, branch.node(codec.to_plain(value))]


def _read_registered(content: Any, reader: Reader) -> Any:
    from fedstate.state.codecs.registry import codecs

    tag, version, node = content
    codec = codecs.registered(only(tag, str), only(version, int))
    return codec.from_plain(reader.value(node), version)


KINDS = (
    Kind(
        "registered",
        (),
        _registered_node,
        _read_registered,
        (
            (
                "a dataclass with the decorator `@stored`, and every type that you `register`, "
                "also inside other values"
            ),
            "the same",
        ),
        _is_registered,
    ),
    Kind(
        "namedtuple",
        (),
        _named_tuple_node,
        _read_named_tuple,
        ("named tuples", "the same; the module with their class must be imported"),
        is_named_tuple,
    ),
    Kind(
        "enum",
        (),
        _enum_node,
        _read_enum,
        (
            "members of `Enum`, `IntEnum`, `StrEnum`, `Flag`",
            "the same; the module with their class must be imported",
        ),
        lambda value: isinstance(value, enum.Enum),
    ),
)
