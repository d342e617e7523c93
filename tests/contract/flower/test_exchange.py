"""Objects move whole between our client and every server: flwr's, and flwr's with our routes."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.supernode.runtime.run_clientapp import pull_task_input
from tests.stack.executor.conftest import Node, probe_fab
from tests.waiting import wait_until

from fedstate.exchange import paths
from fedstate.exchange.messages import BATCH_BYTES
from fedstate.exchange.pulled import PulledObject
from fedstate.exchange.routes import runtime_router, serve
from fedstate.exchange.signals import Signals
from fedstate.flower.task_client import TaskClient, task_client
from fedstate.flower.task_order import TaskKind, TaskOrder

SIZES = {
    "small": [1, 10, 100],
    "none": [0],
    "many": [8] * 60,
    "two batches": [BATCH_BYTES // 3] * 5,
    "large ones among small": [5, BATCH_BYTES * 2, 5, BATCH_BYTES, 5],
}


class Requests:
    """ASGI middleware that counts requests by path."""

    def __init__(self, app: Any, paths: list[str]) -> None:
        self.app, self.paths = app, paths

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope.get("path", ""))
        await self.app(scope, receive, send)


@pytest.fixture(params=["flwr", "ours"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def node(kind: str, signals: Signals, asked: list[str]) -> Any:
    def prepare(app: FastAPI) -> None:
        if kind == "ours":
            serve(app, signals, runtime_router)
        app.add_middleware(Requests, paths=asked)

    node = Node(prepare=prepare)
    node.add_run(1, probe_fab())
    yield node
    node.stop()


def arrays(sizes: list[int]) -> ArrayRecord:
    generator = np.random.default_rng(1)
    return ArrayRecord(
        {
            str(n): Array(generator.integers(0, 256, size, dtype=np.uint8))
            for n, size in enumerate(sizes)
        }
    )


def client_of(node: Node) -> TaskClient:
    """Claim the node's only task, as an executor does."""
    (task,) = node.tasks("pending")
    token = node.state.claim_task(task.task_id)
    return task_client(
        TaskOrder(
            kind=TaskKind.CLIENT_APP,
            task_id=task.task_id,
            token=token,
            runtime_api_address=node.address,
            insecure=True,
        )
    )


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_message_arrives_and_its_reply_returns(
    node: Node, kind: str, asked: list[str], sizes: list[int]
) -> None:
    sent = RecordDict({"arrays": arrays(sizes)})
    message_id = node.give(1, sent)
    with client_of(node) as client:
        message, context, _, _ = pull_task_input(client)
        assert message.content == sent
        assert message.metadata.message_id == message_id
        client.push_reply(Message(message.content, reply_to=message), context)
    assert node.reply_content(message_id) == sent
    single = asked.count("/v1/runtime/pull-object") + asked.count("/v1/runtime/push-object")
    if kind == "ours":
        # The large ones alone, and no request for each small one; but what is here of a small
        # message is not pushed again, and a reply with the same content has one other object.
        assert single <= 2 * 2 * sum(size >= BATCH_BYTES for size in sizes) + 1
    else:
        assert asked.count(paths.RUNTIME_PULL) == 1
        assert asked.count(paths.RUNTIME_SEND) == 1
        assert asked.count(paths.RUNTIME_PUSH) == 0
        assert single >= 2 * len(sizes)


@pytest.mark.parametrize("kind", ["ours"], indirect=True)
def test_what_was_announced_together_is_pulled_together(node: Node, asked: list[str]) -> None:
    """A ServerApp pulls many replies; one that is on its way is pulled when it has come."""
    node.give(1, RecordDict({"arrays": arrays([1, 2, 3])}))
    with client_of(node) as client:
        response = client.PullMessages(PullAppMessagesRequest())
        (tree,) = response.message_object_trees
        present = [each.object_id for each in iterate_object_tree(tree)]
        absent = ["a", "b"]
        client._together = dict.fromkeys([*absent, *present])
        client._announced |= dict.fromkeys(absent, absent)

        def pull(object_id: str) -> PullObjectResponse | PulledObject:
            return client.PullObject(PullObjectRequest(run_id=1, object_id=object_id))

        assert all(pull(object_id).object_available for object_id in dict.fromkeys(present))
        assert asked.count(paths.RUNTIME_PULL) == 1
        assert not any(pull(object_id).object_available for object_id in absent)
    assert asked.count(paths.RUNTIME_PULL) == 2
    assert asked.count("/v1/runtime/pull-object") == 2


def test_a_push_that_is_refused_fails(node: Node) -> None:
    message_id = node.give(1, RecordDict({"arrays": arrays([1, 2, 3])}))
    with client_of(node) as client:
        message, context, _, _ = pull_task_input(client)
        reply = Message(RecordDict({"arrays": arrays([4, 5, 2 * BATCH_BYTES])}), reply_to=message)

        def losing(announce: Callable[..., Any]) -> Callable[..., Any]:
            def announced(*arguments: Any) -> Any:
                answer = announce(*arguments)
                node.state.delete_sessions_in_run(1)
                return answer

            return announced

        # Ours with fedstate's server, and flwr's with flwr's.
        client.send_messages = losing(client.send_messages)  # type: ignore[method-assign]
        client.PushMessages = losing(client.PushMessages)  # type: ignore[method-assign]
        with pytest.raises(Exception, match="Failed to push object"):
            client.push_reply(reply, context)
    assert message_id


@pytest.mark.parametrize("kind", ["ours"], indirect=True)
def test_a_wait_ends_with_the_signal(node: Node, signals: Signals) -> None:
    node.give(1, RecordDict())
    with client_of(node) as client:
        waited = client.extra_routes.wait(paths.TASKS_WAIT, NodeProto(), 0, 60)
        assert waited is not None
        seen = waited.count
        assert seen == signals.tasks.count
        timer = threading.Timer(0.1, signals.tasks.notify)
        timer.start()
        began = time.monotonic()
        waited = client.extra_routes.wait(paths.TASKS_WAIT, NodeProto(), seen, 20)
        assert waited is not None
        assert waited.count == seen + 1
        assert time.monotonic() - began < 15
        timer.join()


@pytest.mark.parametrize("kind", ["flwr"], indirect=True)
def test_a_server_of_flwrs_own_is_asked_once(node: Node, asked: list[str]) -> None:
    node.give(1, RecordDict())
    with client_of(node) as client:
        for _ in range(3):
            assert client.extra_routes.wait(paths.TASKS_WAIT, NodeProto(), 0, 20) is None
    assert asked.count(paths.TASKS_WAIT) == 1


@pytest.mark.parametrize("kind", ["ours"], indirect=True)
def test_a_short_task_sends_no_heartbeat_and_confirms_nothing(
    node: Node, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = node.give(1, RecordDict({"arrays": arrays([1, 2])}))
    beat, confirm = "/v1/runtime/send-task-heartbeat", "/v1/runtime/confirm-message-received"
    with client_of(node) as client:
        with client.heartbeat():
            message, context, _, _ = pull_task_input(client)
            client.push_reply(Message(RecordDict(), reply_to=message), context)
        assert node.reply_content(message_id) == RecordDict()
        assert asked.count(paths.RUNTIME_SEND) == 1
        assert {beat, confirm, "/v1/runtime/push-messages"}.isdisjoint(asked)
        monkeypatch.setattr("fedstate.flower.task_client._FIRST_BEAT", 0.0)
        with client.heartbeat():
            wait_until(lambda: beat in asked)


def test_no_route_of_flwrs_has_one_of_our_paths() -> None:
    """When it does, an upgrade of flwr has brought what the exchange is for."""
    ours = [value for name, value in vars(paths).items() if value and name.isupper()]
    flwrs = {path for _, path in PROTOBUF_REQUEST_TYPES} - set(ours)
    assert not any("objects" in path or "wait" in path for path in flwrs)
