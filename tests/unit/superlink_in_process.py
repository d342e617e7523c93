"""flwr's real SuperLink in this process, and a connection to it that can be made to fail."""

import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from functools import cache, partial
from pathlib import Path

import httpx
import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.cli.build import build_fab_from_files
from flwr.common.constant import NOOP_FLWR_AID, SUPERLINK_NODE_ID, SubStatus
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity
from starlette.testclient import TestClient

from fedstate.flower.clients import FleetApi, Objects
from fedstate.flower.own_key import KeyPair, OwnKey
from fedstate.flower.stored_values import Envelope
from tests.superlink_application import SuperLinkApplication, key_pair
from tests.unread import unread

PROJECT = """
[project]
name = "app"
version = "1.0.0"
description = "An app of which nothing but its config is read"
license = { file = "LICENSE" }
dependencies = ["flwr>=1.42.0,<1.43"]

[tool.flwr.app]
publisher = "fedstate"
fab-format-version = 1
flwr-version-target = "1.42.0"

[tool.flwr.app.components]
serverapp = "app:app"
clientapp = "app:app"

[tool.flwr.app.config]
rate = 0.5
rounds = 3
"""


# A SuperLink keeps an object once, whoever sends it: each test needs objects of its own.
_seeds = itertools.count()


@cache
def fab(project: str = PROJECT, code: str = "app = None") -> bytes:
    files: dict[str, bytes | Path] = {
        "pyproject.toml": project.encode(),
        "LICENSE": b"none",
        "app.py": code.encode(),
    }
    return build_fab_from_files(files)[0]


def arrays(*sizes: int) -> RecordDict:
    """Return records with an array of each size in bytes, none like any before."""
    generator = np.random.default_rng(next(_seeds))
    return RecordDict(
        {"w": ArrayRecord([generator.integers(0, 256, size, dtype=np.uint8) for size in sizes])}
    )


def objects_of(message: Message) -> Objects:
    with no_object_id_recompute():
        return {key: each.deflate() for key, each in get_all_nested_objects(message).items()}


def reply_to(envelope: Envelope, content: RecordDict) -> tuple[Envelope, Objects]:
    """Return a reply as a SuperNode has stored it."""
    reply = Message(content, reply_to=envelope.message)
    reply.metadata.__dict__["_message_id"] = reply.object_id
    return Envelope(reply, get_object_tree(reply)), objects_of(reply)


# A fault is given what handles the request, and answers or raises in its place.
Handle = Callable[[], httpx.Response]
Fault = Callable[[Handle], httpx.Response]


def breaks(error: type[httpx.RequestError], *, after: bool) -> Fault:
    """Return a connection that breaks before or after the SuperLink has handled the request."""

    def fault(handle: Handle) -> httpx.Response:
        if after:
            handle()
        raise error("as the test wants it")

    return fault


def answers(status: int, content: bytes = b"no protobuf", *, after: bool = False) -> Fault:
    """Return what somebody between node and SuperLink answers, such as a proxy."""

    def fault(handle: Handle) -> httpx.Response:
        if after:
            handle()
        return httpx.Response(status, content=content)

    return fault


def refuses_clock(ahead: float) -> Fault:
    """Return what a SuperLink answers whose clock is so many seconds behind."""

    def fault(_: Handle) -> httpx.Response:
        return httpx.Response(401, headers={"date": formatdate(time.time() - ahead, usegmt=True)})

    return fault


class Connection(httpx.BaseTransport):
    """The way to a SuperLink: what goes over it is noted, and requests fail as planned."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self._planned: dict[str, list[Fault]] = {}
        self._lock = threading.Lock()
        self.requests: list[str] = []

    def plan(self, call: str, *faults: Fault) -> None:
        """Let the next requests for a call, the last part of its path, meet these faults."""
        self._planned.setdefault(call, []).extend(faults)

    def down(self, call: str, fault: Fault) -> None:
        """Let all requests for a call meet this fault, until `up` is called."""
        self._planned[call] = [fault] * 10_000

    def up(self) -> None:
        self._planned.clear()

    def planned(self, call: str) -> int:
        """Return how many faults are still to come."""
        return len(self._planned.get(call, []))

    def count(self, call: str) -> int:
        return self.requests.count(call)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call = request.url.path.rpartition("/")[2]
        with self._lock:
            self.requests.append(call)
            faults = self._planned.get(call) or self._planned.get("*")
            fault = faults.pop(0) if faults else None
        handle = partial(self._handled, request)
        return unread(handle() if fault is None else fault(handle))

    def _handled(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        response.headers["date"] = formatdate(usegmt=True)  # as whoever serves it would
        return response


class SuperLink(SuperLinkApplication):
    """A SuperLink, ours or flwr's own, and what its ServerApps do to it."""

    def __init__(self, directory: Path, *, ours: bool = True) -> None:
        super().__init__(directory, ours=ours)
        self._client = TestClient(self.app)
        self._sent: dict[str, Message] = {}

    def connection(self) -> Connection:
        return Connection(self._client._transport)

    def start_run(
        self,
        content: bytes | None = None,
        series_id: int | None = None,
        signatures: dict[str, str] | None = None,
    ) -> int:
        """Start a run, and its ServerApp."""
        content = fab() if content is None else content
        fab_hash = hashlib.sha256(content).hexdigest()
        self.state.store_fab(Fab(fab_hash, content, signatures or {}))
        run_id = self.state.create_run(
            "fedstate/app",
            "1.0.0",
            fab_hash,
            {"rate": 0.1},
            NOOP_FEDERATION_ID,
            None,
            NOOP_FLWR_AID,
            TaskType.SERVER_APP,
            series_id=series_id,
        )
        task_id = self._task(run_id)
        assert self.state.claim_task(task_id)
        assert self.state.activate_task(task_id)
        return int(run_id)

    def _task(self, run_id: int) -> int:
        (run,) = self.state.get_run_info(run_ids=[run_id])
        return int(run.primary_task_id)

    def end_run(self, run_id: int) -> None:
        assert self.state.finish_task(self._task(run_id), SubStatus.COMPLETED, "")
        if self.signals.ends is not None:
            self.signals.ends.notify()  # as after the request of a ServerApp's process

    def send(self, run_id: int, node_id: int, content: RecordDict) -> str:
        """Send a message to a node, as a ServerApp; return its ID."""
        TaskIdentity.run_id, TaskIdentity.node_id = run_id, SUPERLINK_NODE_ID
        TaskIdentity.task_id = self._task(run_id)
        message = Message(content, dst_node_id=node_id, message_type="train")
        message_id: str = message.object_id
        message.metadata.__dict__["_message_id"] = message_id
        self._sent[message_id] = message
        self._push(message)
        return message_id

    def send_again(self, message_id: str) -> None:
        """Send the very same message again, as a ServerApp whose reply was lost."""
        # What the SuperLink does as soon as a reply was taken.
        self.state.delete_messages(message_ins_ids={message_id})
        self._push(self._sent[message_id])

    def _push(self, message: Message) -> None:
        run_id = message.metadata.run_id
        session = self.state.start_session(run_id)
        stored, wanted = self.state.store_message_and_object_tree(
            message, get_object_tree(message), session
        )
        assert stored
        for object_id, each in objects_of(message).items():
            if object_id in wanted:
                assert self.state.store_object(run_id, session, object_id, each)
        self.signals.messages.notify()  # as after the request of a ServerApp's process

    def take_reply(self, run_id: int, message_id: str) -> Message | None:
        """Return the reply to a message without its content, or None.

        As flwr's handler does, forget the message then: no reply to it is taken any longer.
        """
        replies = self.state.get_message_res({message_id}, run_id)
        if not replies:
            return None
        self.state.delete_messages(message_ins_ids={message_id})
        reply: Message = replies[0]
        return reply

    def content_of(self, run_id: int, reply: Message) -> RecordDict:
        """Return the content of a reply that was taken; fail if it is not here as a whole."""
        reply_id = reply.metadata.message_id
        tree = self.state.object_store.get_object_tree(reply_id)
        ids = {each.object_id for each in iterate_object_tree(tree)}
        contents = {each: self.state.get_object(run_id, each) for each in ids}
        assert all(contents.values()), "an object of the reply is missing"
        inflated = inflate_object_from_contents(reply_id, contents)
        assert isinstance(inflated, Message)
        return inflated.content

    def keeps(self, message_id: str) -> bool:
        """Return whether the content of a message is still here."""
        return self.state.object_store.get(message_id) is not None

    def is_online(self, node_id: int) -> bool:
        (node,) = self.state.get_node_info(node_ids=[node_id])
        return bool(node.status == "online")

    def unregister(self, node_id: int) -> None:
        self.state.delete_node(NOOP_FLWR_AID, node_id)

    @contextmanager
    def node(self) -> Iterator[tuple[FleetApi, Connection]]:
        """Give a node that is online, and its connection."""
        connection = self.connection()
        with self.api(connection, key_pair()) as api:
            api.register()
            api.activate()
            yield api, connection

    @staticmethod
    def api(connection: Connection, keys: KeyPair | OwnKey) -> FleetApi:
        own_key = keys if isinstance(keys, OwnKey) else OwnKey(keys)
        return FleetApi(
            "superlink:1", own_key, insecure=True, transport=connection, retry_seconds=0.01
        )
