"""Messages that are none, or make no sense, are the sender's mistake and never the server's.

Every route of every door gets them from somebody who is known there: nobody else comes so far.
"""

import random

import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stack.doors.door import Door, Session
from tests.stack.doors.ground import REFUSALS, Ground, slow
from tests.stack.doors.registry import DOORS
from tests.stack.doors.routes import Route, filled
from tests.stack.doors.wire import SECONDS, SILENT, Answer

pytestmark = [pytest.mark.timeout(1800), pytest.mark.allowed_errors(*REFUSALS)]

CASES = slow(500, 10_000)
# A tag of each wire type with a number that no message has, cut off, and nested without an end.
_PIECES = (b"\xff" * 11, b"\x08", b"\x7a\xff\xff\xff\xff\x0f", b"\x0b" * 500, b"\x0c", b"\x07\0")
_RENEWALS = 3
_WAITING = ("/v1/fleet/wait-", "/v1/runtime/wait-", "/v1/control/stream-")


def damaged(body: bytes, chance: random.Random) -> bytes:
    """Do to a message what a bad wire would, or somebody who knows how it is parsed."""
    place = chance.randrange(len(body) + 1)
    return chance.choice(
        [
            body,
            body,
            body[:place],
            body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :],
            body[:place] + chance.choice(_PIECES) + body[place:],
            body * chance.randrange(2, 40),
            bytes(reversed(body)),
        ]
    )


def bodies(route: Route) -> st.SearchStrategy[bytes]:
    """Return bodies of requests to a route."""
    if route.message is None:
        return st.binary(max_size=300)
    message = route.message

    def made(seed: int) -> bytes:
        chance = random.Random(seed)  # noqa: S311  no secret
        return damaged(filled(message(), chance).SerializeToString(), chance)

    return st.integers(0, 2**32).map(made) | st.binary(max_size=300)


def send(ground: Ground, session: Session, door: Door, route: Route, body: bytes) -> Answer:
    """Send a body as somebody who is known."""
    request = None
    if route.message is not None:
        request = route.message()
        try:
            request.ParseFromString(body)
        except DecodeError:
            request = route.message()
    # Who waits for something may be left waiting.
    seconds = 0.5 if route.path.startswith(_WAITING) else SECONDS
    headers = ground.credentials(door, route, request)
    return session.ask(route.path, headers, body, route.method, seconds)


def answered(ground: Ground, door: Door, route: Route, examples: int) -> str | None:
    """Send messages to a route; return one that the server takes for a failure of its own."""
    renewals = 0

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(body=bodies(route))
    def check(body: bytes) -> None:
        nonlocal renewals
        answer = send(ground, session, door, route, body)
        if answer == 401 and renewals < _RENEWALS:
            renewals += 1
            ground.renew_intruder()
        sound = isinstance(answer, int) and (answer < 500 or answer == 501)
        waits = answer == SILENT and route.path.startswith(_WAITING)
        assert sound or waits, f"{route.path} answers {answer} to {body!r}"

    with door.session() as session:
        try:
            check()
        except AssertionError as error:
            return str(error)[:300]
    return None


@pytest.mark.parametrize("name", DOORS)
def test_malformed_protobuf(ground: Ground, name: str) -> None:
    door = ground.doors[name]
    examples = max(2, round(CASES / sum(len(each.routes) for each in ground.doors.values())))
    # The one with which a task ends comes last.
    routes = sorted(door.routes, key=lambda each: each.path.endswith("/push-task-output"))
    ground.renew_intruder()
    failed = [found for route in routes if (found := answered(ground, door, route, examples))]
    assert not failed, "\n".join([f"{len(failed)} routes:", *failed])
