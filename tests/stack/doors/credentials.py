"""Attempts of those who are not known at a door, or not as the one that they say they are."""

import secrets
from base64 import b64encode
from datetime import timedelta

from flwr.common.constant import TIMESTAMP_HEADER
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    PullMessagesRequest,
    RegisterNodeFleetRequest,
    UnregisterNodeFleetRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    TASK_TOKEN_HEADER,
)

from tests.stack.doors.door import Door
from tests.stack.doors.ground import PROTOBUF, Ground
from tests.stack.doors.keys import signed_at_another_time, signed_by_executor
from tests.stack.doors.registry import Outcome, attempt
from tests.stack.doors.routes import Route
from tests.stack.doors.wire import Headers

_LOGIN = ("get-login-details", "get-auth-tokens", "refresh-auth-tokens")
_PULL_MESSAGES = "/v1/fleet/pull-messages"


def _everywhere(
    door: Door, outcome: Outcome, what: str, headers: Headers, body: bytes | None = b""
) -> None:
    """Ask for every route of a door with these headers."""
    with door.session() as session:
        for route in door.routes:
            # Whoever asks how to log in has not logged in yet; here nobody can.
            more = (403,) if route.path.endswith(_LOGIN) else ()
            answer = session.ask(route.path, headers, body or b"", route.method)
            outcome.of(f"{what} {route.path}", answer, *more)


@attempt(401)
def no_credential(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Ask for every route without saying who asks."""
    _everywhere(door, outcome, "nobody", PROTOBUF)


@attempt(401)
def made_up_credential(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Ask for every route with credentials of every kind that nobody has given out."""
    key = b64encode(secrets.token_bytes(120)).decode()
    made_up = {
        **PROTOBUF,
        "Authorization": f"Bearer {secrets.token_urlsafe()}",
        TASK_TOKEN_HEADER: secrets.token_urlsafe(),
        FLEET_HTTP_PUBLIC_KEY_HEADER: key,
        FLEET_HTTP_SIGNATURE_HEADER: key,
        TIMESTAMP_HEADER: ground.stranger.signed()[TIMESTAMP_HEADER],
        **signed_by_executor(b"not the secret", RegisterNodeFleetRequest()),
    }
    _everywhere(door, outcome, "a liar", made_up)


@attempt(401)
def garbled_credential(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send credentials that no parser expects: empty, endless, of other alphabets."""
    route = door.routes[0]
    names = {*ground.credentials(door, route, route.message and route.message())} - {*PROTOBUF}
    texts = (
        "",
        " ",
        "Bearer",
        "Bearer  ",
        "Basic YTpi",
        "\xff\xfe",
        "=" * 4000,
        "1e999999",
        "%00",
    )
    with door.session() as session:
        for text in texts:
            garbled = {**PROTOBUF, **dict.fromkeys(names or ("Authorization",), text)}
            outcome.of(repr(text[:20]), session.ask(route.path, garbled), 400)


@attempt(401, 403)
def credential_of_another_kind(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Come with what opens another door: a node at Control, a ServerApp at Fleet, and so on."""
    for other in ground.doors.values():
        if other.name != door.name:
            headers = {**dict(ground.credentials(other))}
            _everywhere(door, outcome, f"known at {other.name}", headers)


@attempt(403, doors=("control",))
def wrong_role(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Do as a submitter all that only an operator may."""
    own = ("start-run", "list-runs", "stop-run", "stream-logs", "stream-run-events")
    allowed = (*own, "pull-artifacts", "pull-evidence")
    with door.session() as session:
        for route in door.routes:
            if not route.path.endswith(tuple(f"/{name}" for name in allowed)):
                headers = {**PROTOBUF, **ground.submitter}
                outcome.of(route.path, session.ask(route.path, headers, b"", route.method))


@attempt(401, doors=("control",))
def revoked_account(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Use the token of an account that was revoked, for every route."""
    _everywhere(door, outcome, "revoked", {**PROTOBUF, **ground.revoked})


@attempt(401, 400)
def two_credentials(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send a right credential and a wrong one, in either order: which one is looked at?"""
    for route in (door.routes[0], door.routes[-1]):
        right = list(dict(ground.credentials(door, route)).items())
        wrong = [(name, "wrong") for name, _ in right if name not in PROTOBUF]
        if not wrong:
            right = [*right, ("Authorization", "Bearer one")]
            wrong = [("Authorization", "Bearer two")]
        outcome.of(f"right first {route.path}", door.ask(route.path, [*right, *wrong]))
        outcome.of(f"wrong first {route.path}", door.ask(route.path, [*wrong, *right]))


@attempt(401, doors=("fleet",))
def unregistered_key(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Sign as a node whose key nobody has registered, for every route, as any node."""
    for node_id in (0, 1, *ground.node_ids):
        body = Node(node_id=node_id).SerializeToString()
        for route in door.routes if node_id == 0 else door.routes[:4]:
            if route.path.endswith(("/register-node", "/activate-node")):
                continue
            answer = door.ask(route.path, {**PROTOBUF, **ground.stranger.signed()}, body)
            outcome.of(f"as {node_id} {route.path}", answer)


@attempt(401, 403, 404, 412, doors=("fleet",))
def registering_oneself(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Register a key of one's own through the nodes' door, activate it, unregister another's."""
    headers = {**PROTOBUF, **ground.stranger.signed()}
    for name, request in (
        ("register-node", RegisterNodeFleetRequest(public_key=ground.stranger.public)),
        (
            "activate-node",
            ActivateNodeRequest(public_key=ground.stranger.public, heartbeat_interval=30),
        ),
        ("unregister-node", UnregisterNodeFleetRequest(node_id=ground.node_ids[0])),
        ("unregister-node", UnregisterNodeFleetRequest(node_id=ground.rogue_id)),
    ):
        who = headers
        if request == UnregisterNodeFleetRequest(node_id=ground.rogue_id):
            who = {**PROTOBUF, **ground.rogue.signed()}
        outcome.of(name, door.ask(f"/v1/fleet/{name}", who, request.SerializeToString()))


@attempt(401, doors=("fleet",))
def in_another_nodes_name(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Say as a registered node that one is another one, on every route that names a node."""
    for route in door.routes:
        if not route.fields("node", "node_id"):
            continue
        assert route.message is not None
        request = route.message()
        if route.fields("node"):
            request.node.node_id = ground.node_ids[0]
        else:
            request.node_id = ground.node_ids[0]
        body = request.SerializeToString()
        outcome.of(route.path, door.ask(route.path, {**PROTOBUF, **ground.rogue.signed()}, body))


@attempt(401, doors=("fleet", "runtime", "node"))
def signature_of_another_time(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Use a signature that is too old, or is not of today yet."""
    for minutes in (-(10**6), -60, -6, 6, 60, 10**6):
        if door.name == "fleet":
            route, headers = _PULL_MESSAGES, ground.rogue.signed(timedelta(minutes=minutes))
            body = PullMessagesRequest(node=Node(node_id=ground.rogue_id)).SerializeToString()
        else:
            route, body = "/v1/runtime/acquire-task", b""
            headers = signed_at_another_time(
                ground.secrets[door.name], timedelta(minutes=minutes)
            )
        outcome.of(f"{minutes} minutes ago", door.ask(route, {**PROTOBUF, **headers}, body))


@attempt(401, doors=("runtime", "node"))
def replayed_signature(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send what an executor has signed once more, and with another body."""
    acquire = Route("POST", "/v1/runtime/acquire-task")
    headers = ground.credentials(door, acquire)
    first = door.ask(acquire.path, headers)
    assert first == 200, f"an executor's own signature is answered with {first}"
    outcome.of("again", door.ask(acquire.path, headers))
    fresh = ground.credentials(door, acquire)
    outcome.of("another body", door.ask(acquire.path, fresh, b"\x12\x03abc"))


@attempt(401, doors=("fleet",))
def signature_on_something_else(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Put together headers of two nodes: the key of one, the signature of the other."""
    theirs, own = ground.stranger.signed(), ground.rogue.signed(timedelta(seconds=1))
    body = PullMessagesRequest(node=Node(node_id=ground.rogue_id)).SerializeToString()
    for name in own:
        headers = {**PROTOBUF, **own, name: theirs[name]}
        outcome.of(name, door.ask(_PULL_MESSAGES, headers, body))
    lost = {name: value for name, value in own.items() if name != FLEET_HTTP_SIGNATURE_HEADER}
    outcome.of("unsigned", door.ask(_PULL_MESSAGES, {**PROTOBUF, **lost}, body))
