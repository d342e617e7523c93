"""Our routes of the Runtime API in flwr's real applications, called in this process."""

import asyncio
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flwr.app import ConfigRecord
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.supercore.constant import TASK_TOKEN_HEADER, TaskType
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory

from fedstate.exchange import paths
from fedstate.exchange.messages import (
    PullObjectsRequest,
    PullObjectsResponse,
    PushObjectsRequest,
    PushObjectsResponse,
    SendMessagesRequest,
    SendMessagesResponse,
    WaitRequest,
    WaitResponse,
)
from fedstate.exchange.presence import Presence
from fedstate.exchange.routes import (
    MAXIMUM_WAIT_SECONDS,
    bounded,
    replies_router,
    runtime_router,
    serve,
)
from fedstate.exchange.signals import Signals
from fedstate.flower.messages import Node
from fedstate.flower.superlink_app import create_superlink, parse

RUN = 2**63 + 1
ROUTES: dict[str, tuple[Any, Any]] = {
    paths.RUNTIME_PULL: (PullObjectsRequest, PullObjectsResponse),
    paths.RUNTIME_PUSH: (PushObjectsRequest, PushObjectsResponse),
    paths.RUNTIME_SEND: (SendMessagesRequest, SendMessagesResponse),
    paths.RUNTIME_WAIT: (WaitRequest, WaitResponse),
    paths.TASKS_WAIT: (WaitRequest, WaitResponse),
}


@dataclass
class Server:
    """An application of flwr's with our routes, and a task that has a token."""

    app: FastAPI
    state: Any
    signals: Signals
    task: TaskType

    def __post_init__(self) -> None:
        serve(self.app, self.signals, runtime_router, replies_router)
        task_id = self.state.create_task(self.task, RUN)
        self.token = self.state.claim_task(task_id)
        assert self.token

    async def post(self, path: str, request: Any, token: str | None = None) -> tuple[int, Any]:
        """Return the status of the answer, and its message."""
        headers = {"content-type": "application/protobuf"}
        headers |= {TASK_TOKEN_HEADER: token} if token else {}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://server"
        ) as client:
            answer = await client.post(
                path, content=request.SerializeToString(), headers=headers, timeout=60
            )
        message = ROUTES[path][1].FromString(answer.content) if answer.is_success else None
        return answer.status_code, message

    def answer(self, path: str, request: Any) -> Any:
        """Return the answer to the task's request, which must succeed."""
        status, message = asyncio.run(self.post(path, request, self.token))
        assert status == httpx.codes.OK
        return message

    def register(self, record: ConfigRecord) -> tuple[str, dict[str, bytes]]:
        """Open a session for an object; return the session and the contents due."""
        session: str = self.state.start_session(RUN)
        self.state.preregister_object_tree(get_object_tree(record), session)
        contents = {
            key: nested.deflate() for key, nested in get_all_nested_objects(record).items()
        }
        return session, contents


def supernode(_: Path) -> Server:
    factory = NodeStateFactory(ObjectStoreFactory())
    return Server(create_app(factory, b"secret"), factory.state(), Signals(), TaskType.CLIENT_APP)


def superlink(directory: Path) -> Server:
    database = str(directory / "link.db")
    app = create_superlink(
        parse(["--insecure", "--database", database], program="", description="")
    )
    app.state.superexec_auth_secret = b"secret"
    return Server(app, app.state.linkstate_factory.state(), Signals(), TaskType.SERVER_APP)


@pytest.fixture(scope="module", params=[supernode, superlink], ids=["SuperNode", "SuperLink"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    make: Callable[[Path], Server] = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["pytest"])  # which `parse` sets
        yield make(tmp_path_factory.mktemp("server"))


NODE = Node(node_id=SUPERLINK_NODE_ID)


def test_what_was_pushed_is_pulled(server: Server) -> None:
    session, contents = server.register(ConfigRecord({"name": "value"}))
    (object_id,) = contents
    pull = PullObjectsRequest(node=NODE, object_ids=[object_id, "0" * 64])
    before = server.signals.messages.count

    on_its_way, unknown = server.answer(paths.RUNTIME_PULL, pull).objects
    assert (on_its_way.object_found, on_its_way.object_available) == (True, False)
    assert not unknown.object_found

    push = PushObjectsRequest(
        node=NODE,
        session_id=session,
        object_ids=[object_id, "0" * 64],
        contents=[contents[object_id], b"nobody waits for it"],
    )
    assert list(server.answer(paths.RUNTIME_PUSH, push).stored) == [True, False]
    assert server.signals.messages.count == before + 1

    there, unknown = server.answer(paths.RUNTIME_PULL, pull).objects
    assert there.object_content == contents[object_id]
    assert not unknown.object_found


def test_contents_that_do_not_match_the_ids_are_a_bad_request(server: Server) -> None:
    push = PushObjectsRequest(node=NODE, object_ids=["a", "b"], contents=[b"x"])
    status, _ = asyncio.run(server.post(paths.RUNTIME_PUSH, push, server.token))
    assert status == httpx.codes.BAD_REQUEST


@pytest.mark.parametrize("path", [paths.RUNTIME_PULL, paths.RUNTIME_PUSH])
def test_a_superlink_alone_refuses_who_names_another_node(server: Server, path: str) -> None:
    """As flwr's handlers for one object do."""
    request = ROUTES[path][0](node=Node(node_id=7))
    status, _ = asyncio.run(server.post(path, request, server.token))
    assert (status >= 400) == (server.task == TaskType.SERVER_APP)


@pytest.mark.parametrize("path", ROUTES)
def test_without_a_token_or_a_signature_nothing_is_answered(server: Server, path: str) -> None:
    request = ROUTES[path][0](node=NODE)
    for token in (None, "made up"):
        assert asyncio.run(server.post(path, request, token)) == (401, None)


def test_a_wait_ends_with_the_notification(server: Server) -> None:
    seen = server.signals.replies.count
    request = WaitRequest(node=NODE, seen=seen, seconds=60)

    async def wait() -> tuple[int, Any]:
        waiting = asyncio.create_task(server.post(paths.RUNTIME_WAIT, request, server.token))
        while not server.signals.replies._waiting:
            await asyncio.sleep(0)
        server.signals.replies.notify()
        return await asyncio.wait_for(waiting, 30)

    assert asyncio.run(wait()) == (200, WaitResponse(count=seen + 1))


def test_an_executor_without_a_secret_to_sign_with_waits_and_names_its_tasks() -> None:
    lost: list[int] = []
    factory = NodeStateFactory(ObjectStoreFactory())
    server = Server(create_app(factory), factory.state(), Signals(), TaskType.CLIENT_APP)
    server.signals.presence = Presence(lost.extend, grace=0.05)
    request = WaitRequest(seen=0, seconds=60, task_ids=[1, 2])

    async def wait() -> tuple[int, Any]:
        answer = await server.post(paths.TASKS_WAIT, request)
        while not lost:
            await asyncio.sleep(0.01)
        return answer

    answer = asyncio.run(asyncio.wait_for(wait(), 30))
    assert answer == (200, WaitResponse(count=server.signals.tasks.count))
    assert lost == [1, 2]


class Ending:
    """What a server is told of the ends of tasks and runs, and what it is asked."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.tasks: set[int] = set()
        self.runs: set[int] = set()
        self.ends = server.signals.tell_ends(
            lambda ids: self.tasks & set(ids), lambda ids: self.runs & set(ids)
        )

    async def during(self, request: Any, then: Callable[[], None]) -> Any:
        """Return the answer to a request that waits when `then` is done."""
        waiting = asyncio.create_task(self.server.post(paths.TASKS_WAIT, request))
        while not self.server.signals.tasks._waiting:
            await asyncio.sleep(0)
        then()
        return await self._soon(waiting)

    async def _soon(self, answering: Any) -> Any:
        """Return the answer, which comes before a server would answer for the time alone."""
        status, answer = await asyncio.wait_for(answering, MAXIMUM_WAIT_SECONDS / 2)
        assert status == httpx.codes.OK
        return answer

    def wait(self, then: Callable[[], None], **request: Any) -> Any:
        seen = self.server.signals.tasks.count
        return asyncio.run(self.during(WaitRequest(seen=seen, seconds=60, **request), then))

    def ask(self, **request: Any) -> Any:
        answering = self.server.post(paths.TASKS_WAIT, WaitRequest(**request))
        return asyncio.run(self._soon(answering))


@pytest.fixture
def ending() -> Ending:
    factory = NodeStateFactory(ObjectStoreFactory())
    return Ending(Server(create_app(factory), factory.state(), Signals(), TaskType.CLIENT_APP))


def test_a_wait_ends_when_a_named_task_or_run_has(ending: Ending) -> None:
    def end() -> None:
        ending.tasks.add(1)
        ending.runs |= {7, 9}
        ending.ends.notify()

    answer = ending.wait(end, task_ids=[1, 2], run_ids=[7, 8])
    assert answer == WaitResponse(
        count=ending.server.signals.tasks.count,
        ended_task_ids=[1],
        ended_run_ids=[7],
        ends=ending.ends.count,
    )
    # What has ended before is said at once.
    assert ending.ask(seconds=60, run_ids=[9], seen=answer.count).ended_run_ids == [9]


def test_what_has_ended_is_said_though_there_is_always_another_task(ending: Ending) -> None:
    ending.runs.add(7)
    assert ending.ask(seen=0, seconds=60, run_ids=[7]).ended_run_ids == [7]


def test_an_executor_hears_of_every_end_since_it_may_have_acquired_a_task_meanwhile(
    ending: Ending,
) -> None:
    first = ending.ask(seen=0, seconds=0)
    assert first.ends == ending.ends.count
    answer = ending.wait(ending.ends.notify, ends=first.ends)
    assert answer.ends == first.ends + 1
    assert not answer.ended_task_ids
    # And of one between two requests.
    ending.ends.notify()
    seen = ending.server.signals.tasks.count
    assert ending.ask(seen=seen, seconds=60, ends=answer.ends).ends == answer.ends + 1


def test_who_does_not_ask_about_ends_is_not_woken_by_them(ending: Ending) -> None:
    """As those of older releases, and SuperNodes of whose runs none has ended."""
    ending.runs.add(7)
    ending.tasks.add(1)
    seen = ending.server.signals.tasks.count
    ending.ends.notify()
    for named in ({}, {"task_ids": [1]}, {"run_ids": [8]}):
        answer = ending.ask(seen=seen, seconds=0.05, **named)
        assert answer == WaitResponse(count=seen, ends=answer.ends)


@pytest.mark.parametrize(
    ("sent", "used"),
    [(2.5, 2.5), (0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (math.inf, 60.0), (-math.inf, 0.0)],
)
def test_a_number_of_a_client_is_bounded(sent: float, used: float) -> None:
    assert bounded(sent) == used
