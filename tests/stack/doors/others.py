"""Attempts of those who are known at a door, on what belongs to the run of somebody else."""

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from flwr.proto.control_pb2 import ListRunsResponse, StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.proto.fleet_pb2 import PushMessagesResponse
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    Message,
    Metadata,
    ObjectTree,
    PullObjectResponse,
)
from flwr.proto.runtime_pb2 import (
    GetNodesRequest,
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PullTaskInputRequest,
    PullTaskInputResponse,
    PushAppMessagesRequest,
)

from fedstate.exchange.messages import PullObjectsResponse, PushReplyResponse
from fedstate.store.database import connect
from tests.stack.doors.door import Door, Session
from tests.stack.doors.ground import PROTOBUF, Ground
from tests.stack.doors.registry import Outcome, attempt
from tests.stack.doors.routes import Route, naming, object_fields

_REFUSED = (400, 401, 403, 404, 409, 412)


def _victims_objects(ground: Ground) -> list[tuple[str, bytes]]:
    """Return the objects of the run that waits, with their contents, the message first."""
    database = ground.federation.directory / "superlink" / "superlink.db"
    run_id = ground.paused.run_id
    signed = run_id - 2**64 if run_id >= 2**63 else run_id
    query = (
        "SELECT objects.object_id, content, parent_id IS NULL AS top FROM objects"
        " JOIN run_objects USING (object_id) LEFT JOIN object_children"
        " ON object_children.child_id = objects.object_id WHERE run_objects.run_id = ?"
        " ORDER BY top DESC"
    )
    with closing(connect(database, write=False)) as connection:
        rows = connection.execute(query, (signed,)).fetchall()
    found = {str(row[0]): bytes(row[1] or b"") for row in rows}
    assert found, "the victim has no objects to lose"
    return list(found.items())


def _ask(
    ground: Ground, session: Session, door: Door, route: Route, request: Any
) -> tuple[Any, bytes]:
    headers = ground.credentials(door, route, request)
    answer = session.ask(route.path, headers, request.SerializeToString())
    return answer, session.body


def _requests(
    ground: Ground, door: Door, object_id: str
) -> Iterator[tuple[Route, tuple[str, ...], Any]]:
    """Yield a request for each route of a door and each field that names an object."""
    for route in door.routes:
        if route.message is None:
            continue
        for way in object_fields(route.message.DESCRIPTOR):
            request = naming(route.message(), way, object_id)
            if route.fields("run_id"):
                request.run_id = ground.paused.run_id
            if route.fields("node"):
                request.node.node_id = ground.rogue_id if door.name == "fleet" else 1
            if route.fields("session_id"):
                request.session_id = "0"
            if way == ("object_ids",) and route.fields("contents"):
                request.contents.append(b"forged")
            yield route, way, request


@attempt(*_REFUSED, doors=("fleet", "runtime", "node"))
def objects_of_another_run(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Name the objects of another run in every field of every route that names objects."""
    objects = _victims_objects(ground)
    with door.session() as session:
        for object_id, content in objects[:2]:
            for route, way, request in _requests(ground, door, object_id):
                answer, body = _ask(ground, session, door, route, request)
                what = f"{route.path} {'.'.join(way)} {object_id[:8]}"
                if answer == 200:  # then it has to come to nothing
                    known = content and content in body
                    outcome.expect(f"{what}: sent", not known and not _found(route, body))
                else:
                    outcome.of(what, answer)
    left = dict(_victims_objects(ground))
    outcome.expect("they are what they were", left == dict(objects))


def _found(route: Route, body: bytes) -> bool:
    """Return whether an answer says that there is such an object."""
    if route.path.endswith("/pull-object"):
        return bool(PullObjectResponse.FromString(body).object_found)
    if route.path.endswith("/pull-objects"):
        return any(each.object_found for each in PullObjectsResponse.FromString(body).objects)
    return False


@attempt(*_REFUSED, doors=("fleet", "runtime", "node"))
def confirmation_for_another_runs_message(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Confirm a message that is on its way to somebody else, so that it is deleted."""
    objects = _victims_objects(ground)
    message_id = objects[0][0]
    own = ground.intruder["run"]
    prefix = "/v1/fleet" if door.name == "fleet" else "/v1/runtime"
    route = Route("POST", f"{prefix}/confirm-message-received")
    with door.session() as session:
        for run_id in (ground.paused.run_id, own, 0):
            request = ConfirmMessageReceivedRequest(run_id=run_id, message_object_id=message_id)
            if door.name == "fleet":
                request.node.node_id = ground.rogue_id
            answer, _ = _ask(ground, session, door, route, request)
            # Confirming what is not there, or not one's own, may be answered as if it had been.
            outcome.of(f"in the name of {run_id}", answer, 200)
    outcome.expect("the message is there", dict(_victims_objects(ground)) == dict(objects))


@attempt(*_REFUSED, doors=("runtime", "node"))
def token_of_another_run(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Use the token of one's own task for another run: its messages, its input, its nodes."""
    victim = ground.paused.run_id
    message_ids = [object_id for object_id, _ in _victims_objects(ground)]
    with door.session() as session:
        pull = Route("POST", "/v1/runtime/pull-messages")
        answer, body = _ask(
            ground, session, door, pull, PullAppMessagesRequest(message_ids=message_ids)
        )
        if answer == 200:
            messages = PullAppMessagesResponse.FromString(body).messages_list
            of_others = [each for each in messages if each.metadata.run_id == victim]
            outcome.expect("pull-messages", not of_others)
        else:
            outcome.of("pull-messages", answer)
        metadata = Metadata(
            run_id=victim,
            message_id=message_ids[0],
            src_node_id=1,
            dst_node_id=ground.node_ids[0],
            ttl=3600,
            message_type="train",
        )
        forged = PushAppMessagesRequest(
            messages_list=[Message(metadata=metadata)],
            message_object_trees=[ObjectTree(object_id=message_ids[0])],
        )
        push = Route("POST", "/v1/runtime/push-messages")
        outcome.of("push-messages", _ask(ground, session, door, push, forged)[0])
        read = Route("POST", "/v1/runtime/pull-task-input")
        answer, body = _ask(ground, session, door, read, PullTaskInputRequest())
        if answer == 200:
            run = PullTaskInputResponse.FromString(body).run
            outcome.expect("pull-task-input", run.run_id == ground.intruder["run"])
        if door.name == "node":
            nodes = Route("POST", "/v1/runtime/get-nodes")
            outcome.of("get-nodes", _ask(ground, session, door, nodes, GetNodesRequest())[0])


@attempt(403, 404, doors=("control",))
def run_of_another_account(ground: Ground, door: Door, outcome: Outcome) -> None:
    """As a submitter stop, read or follow a run that somebody else has started."""
    headers = {**PROTOBUF, **ground.submitter}
    with door.session() as session:
        for route in door.routes:
            if route.message is None or not route.fields("run_id", "run_ids"):
                continue
            request = route.message()
            if route.fields("run_id"):
                request.run_id = ground.going.run_id
            else:
                request.run_ids.append(ground.going.run_id)
            answer = session.ask(route.path, headers, request.SerializeToString(), route.method)
            if answer == 200:
                known = str(ground.going.run_id).encode() in session.body
                outcome.expect(
                    f"{route.path}: {session.body[:60]!r}", not known and not session.body
                )
            else:
                outcome.of(route.path, answer)
        listed = session.ask("/v1/control/list-runs", headers)
        runs = ListRunsResponse.FromString(session.body).run_dict if listed == 200 else {}
        outcome.expect(f"it sees {len(runs)} runs", not runs)


@attempt(400, doors=("control",))
def app_that_is_a_bomb(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Submit an app of kilobytes whose pyproject.toml is 100 MB, and one that says it is not."""
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", method) as archive:
            with archive.open("pyproject.toml", "w") as file:
                for _ in range(100):
                    file.write(b"#" * 2**20)
            archive.infolist()[0].file_size = 100
        content = packed.getvalue()
        # What the directory at the end says of its size is what everybody goes by.
        honest = content.replace(struct.pack("<I", 100), struct.pack("<I", 100 * 2**20))
        for what, fab in (("lies", content), ("tells", honest)):
            request = StartRunRequest(fab=Fab(content=fab)).SerializeToString()
            answer = door.ask("/v1/control/start-run", {**PROTOBUF, **ground.submitter}, request)
            outcome.of(f"{len(fab)} bytes, method {method}, {what}", answer)


@attempt(401, doors=("runtime", "node"))
def token_of_another_server(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Use the token of a ClientApp at the SuperLink, and of a ServerApp at the SuperNode."""
    other = "node" if door.name == "runtime" else "runtime"
    headers = {**dict(ground.credentials(ground.doors["fleet"])), **ground.task_token(other)}
    with door.session() as session:
        for route in door.routes:
            outcome.of(route.path, session.ask(route.path, headers, b"", route.method))


@attempt(*_REFUSED, doors=("fleet",))
def rogue_node(ground: Ground, door: Door, outcome: Outcome) -> None:
    """As a registered node that no message is for, answer a message of somebody else's."""
    victim = ground.paused.run_id
    message_id, _ = _victims_objects(ground)[0]
    for source in (ground.rogue_id, ground.node_ids[0]):
        metadata = Metadata(
            run_id=victim,
            message_id="f" * 64,
            src_node_id=source,
            dst_node_id=1,
            reply_to_message_id=message_id,
            ttl=3600,
            message_type="train",
        )
        tree = ObjectTree(object_id="f" * 64)
        for name in ("push-messages", "push-reply"):
            route = Route("POST", f"/v1/fleet/{name}")
            assert route.message is not None
            request = route.message()
            request.node.node_id = ground.rogue_id
            push = request.push if name == "push-reply" else request
            push.node.node_id = ground.rogue_id
            push.messages_list.append(Message(metadata=metadata))
            push.message_object_trees.append(tree)
            with door.session() as session:
                answer, body = _ask(ground, session, door, route, request)
            if answer == 200:
                outcome.expect(f"{name} as {source}: taken", not _wanted(name, body))
            else:
                outcome.of(f"{name} as {source}", answer)
    outcome.expect("nobody has answered it", message_id in dict(_victims_objects(ground)))


def _wanted(name: str, body: bytes) -> list[str]:
    if name == "push-reply":
        return list(PushReplyResponse.FromString(body).push.objects_to_push)
    return list(PushMessagesResponse.FromString(body).objects_to_push)
