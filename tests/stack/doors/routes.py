"""The routes of the real applications, and the messages that they take, right and wrong."""

import functools
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]

from fedstate.exchange.routes import runtime_router, serve
from fedstate.exchange.signals import Signals
from fedstate.flower.runtime_app import runtime_app
from tests.superlink_application import SuperLinkApplication

HEALTH = "/health"
_PREFIXES = {
    "control": "/v1/control/",
    "fleet": "/v1/fleet/",
    "runtime": "/v1/runtime/",
    "node": "/v1/runtime/",
}


@dataclass(frozen=True)
class Route:
    """A route: its method and path, and the type of its requests if that is protobuf."""

    method: str
    path: str

    @property
    def message(self) -> Any | None:
        """The type of its requests, or None."""
        return PROTOBUF_REQUEST_TYPES.get((self.method, self.path))

    def fields(self, *names: str) -> list[str]:
        """Return those of its request's fields, of the message itself, that have these names."""
        if self.message is None:
            return []
        return [name for name in names if name in self.message.DESCRIPTOR.fields_by_name]


@functools.cache
def routes_of(door: str) -> tuple[Route, ...]:
    """Return the routes of a door's audience, without `/health`."""
    routes = _of_the_node() if door == "node" else _of_the_superlink()
    found = tuple(route for route in routes if route.path.startswith(_PREFIXES[door]))
    assert found, f"the application has no routes for {door}"
    return found


@functools.cache
def beside_them() -> tuple[Route, ...]:
    """Return the routes that belong to no audience."""
    prefixes = tuple(_PREFIXES.values())
    routes = {*_of_the_superlink(), *_of_the_node()}
    return tuple(
        sorted(
            (route for route in routes if not route.path.startswith(prefixes)),
            key=lambda route: route.path,
        )
    )


@functools.cache
def _of_the_superlink() -> tuple[Route, ...]:
    with tempfile.TemporaryDirectory() as directory:
        superlink = SuperLinkApplication(Path(directory))
        try:
            return _routes(superlink.app)
        finally:
            superlink.close()


@functools.cache
def _of_the_node() -> tuple[Route, ...]:
    # Nothing is called: whoever has the state and runs the steps need not be there.
    api = runtime_app(mock.Mock(), mock.Mock(), b"secret")
    serve(api, Signals(closing=lambda: False), runtime_router)
    return _routes(api)


def _routes(app: FastAPI) -> tuple[Route, ...]:
    found = [
        Route(method, str(context.path))
        for context in iter_route_contexts(app.routes)
        if isinstance(context.route, APIRoute)
        for method in sorted(context.route.methods or ())
    ]
    assert len(found) > 10
    return tuple(found)


def object_fields(descriptor: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the ways to the fields of a message, and of those in it, that name objects."""
    for field in descriptor.fields:
        if field.name in ("object_id", "object_ids", "message_object_id", "message_ids"):
            yield (*way, field.name)
        elif field.message_type is not None and len(way) < 3:
            yield from object_fields(field.message_type, (*way, field.name))


def naming(message: Any, way: tuple[str, ...], object_id: str) -> Any:
    """Let the field at the end of a way name an object; return the message."""
    *above, last = way
    inner = message
    for name in above:
        inner = getattr(inner, name)
        if hasattr(inner, "add"):
            inner = inner.add()
    if hasattr(getattr(inner, last), "append"):
        getattr(inner, last).append(object_id)
    else:
        setattr(inner, last, object_id)
    return message


def filled(message: Any, chance: random.Random, depth: int = 0) -> Any:
    """Fill a message's fields with values of their types; most of them make no sense."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.3 * depth:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.message_type is not None:
            inner = getattr(message, field.name)
            for _ in range(chance.randrange(1, 3)):
                filled(inner.add() if hasattr(inner, "add") else inner, chance, depth + 1)
                if not hasattr(inner, "add"):
                    inner.SetInParent()
                    break
            continue
        values = [_value(field, chance) for _ in range(chance.randrange(1, 4))]
        target = getattr(message, field.name)
        if hasattr(target, "extend"):
            target.extend(values)
        else:
            setattr(message, field.name, values[0])
    return message


_TEXTS = ("", "0", "a" * 64, "%s", "../..", "\0", "'; --", "\u202e\n", "9" * 30)
_VALUES: dict[int, tuple[Any, ...]] = {
    FieldDescriptor.CPPTYPE_BOOL: (False, True),
    FieldDescriptor.CPPTYPE_DOUBLE: (0.0, -1.0, 1e300, float("nan"), float("inf"), float("-inf")),
    FieldDescriptor.CPPTYPE_FLOAT: (0.0, -1.0, float("nan"), float("inf")),
    FieldDescriptor.CPPTYPE_INT32: (0, 1, -1, 2**31 - 1, -(2**31)),
    FieldDescriptor.CPPTYPE_INT64: (0, 1, -1, 2**63 - 1, -(2**63)),
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 2**31, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 1, 2**63, 2**64 - 1),
    FieldDescriptor.CPPTYPE_STRING: _TEXTS,
}


def _value(field: Any, chance: random.Random) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.choice(_TEXTS).encode()
    if field.enum_type is not None:
        return chance.choice(field.enum_type.values).number
    return chance.choice(_VALUES[field.cpp_type])
