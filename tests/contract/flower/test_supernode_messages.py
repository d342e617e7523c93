"""A message and its reply in our NodeState, moved by flwr's Runtime API."""

import os
from typing import Any

import pytest
from fastapi import FastAPI, Request
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode as FlowerErrorCode
from flwr.proto.message_pb2 import PullObjectRequest
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from starlette.testclient import TestClient
from tests.contract.flower.in_process import arrays
from tests.contract.flower.in_process_supernode import (
    NODE_ID,
    SuperNode,
    clientapp,
    message_to,
)

from fedstate.exchange import paths
from fedstate.exchange.messages import PushObjectsRequest, SendMessagesRequest
from fedstate.flower.errors import ErrorCode
from fedstate.flower.own_routes import keep_objects_in_memory
from fedstate.objects.streaming import current_transfer


@pytest.fixture
def message() -> Message:
    return message_to(NODE_ID, 1, arrays(1, 2))


def ended(supernode: SuperNode, message: Message, task_id: int, reply: Message) -> None:
    """Do what `Steps` does when a step is over."""
    supernode.state.finish_task(task_id, "completed", "")
    ids = [message.metadata.message_id, reply.metadata.message_id]
    supernode.state.forget_step(task_id, ids)


def test_a_stored_message_reaches_its_clientapp_with_its_content(
    supernode: SuperNode, message: Message
) -> None:
    supernode.give(1, message)
    with clientapp(supernode) as task:
        assert task.message.metadata.message_id == message.metadata.message_id
        assert task.message.content == arrays(1, 2)


def test_a_message_is_handed_out_once(supernode: SuperNode, message: Message) -> None:
    """A second process of the task must not make the step beside the first."""
    supernode.give(1, message)
    with clientapp(supernode) as task:
        again = task.client.PullMessages(PullAppMessagesRequest())
        assert not again.messages_list


def test_a_clientapp_is_given_no_message_of_another_run(supernode: SuperNode) -> None:
    supernode.add_run(2)
    messages = {run_id: message_to(NODE_ID, run_id, arrays(run_id)) for run_id in (1, 2)}
    for run_id, each in messages.items():
        supernode.give(run_id, each)
    for _ in messages:
        with clientapp(supernode) as task:
            own = messages[task.context.run_id]
            assert task.message.metadata.message_id == own.metadata.message_id


@pytest.mark.parametrize("large", [True, False])
def test_a_pulled_message_is_confirmed_and_its_objects_are_gone_if_it_is_large(
    supernode: SuperNode, message: Message, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """flwr's `pull_task_input` confirms; a small one is not worth a request while it is made."""
    if large:
        monkeypatch.setattr("fedstate.flower.object_client.BATCH_BYTES", 1)
    supernode.give(1, message)
    with clientapp(supernode) as task:
        answer = task.client.PullObject(
            PullObjectRequest(
                node=NodeProto(node_id=NODE_ID),
                run_id=1,
                object_id=message.metadata.message_id,
            )
        )
        assert answer.object_found != large


def test_a_pushed_reply_is_found_by_its_message_with_its_objects(
    supernode: SuperNode, message: Message
) -> None:
    supernode.give(1, message)
    message_id = message.metadata.message_id
    assert supernode.state.reply_to(message_id) is None
    with clientapp(supernode) as task:
        pushed = task.reply(arrays(3, 4))
    reply = supernode.state.reply_to(message_id)
    assert reply is not None
    assert not reply.has_error()
    assert reply.metadata.message_id == pushed.metadata.message_id
    assert supernode.state.object_store.get_object_tree(reply.metadata.message_id)
    assert supernode.state.object_store.get(reply.metadata.message_id)
    assert supernode.state.seconds_taken(message_id) > 0


def test_an_error_reply_is_found_by_its_message(supernode: SuperNode, message: Message) -> None:
    supernode.give(1, message)
    with clientapp(supernode) as task:
        task.reply(Error(ErrorCode.CLIENT_APP_RAISED, "why"))
    reply = supernode.state.reply_to(message.metadata.message_id)
    assert reply is not None
    assert (reply.error.code, reply.error.reason) == (ErrorCode.CLIENT_APP_RAISED, "why")


def test_a_step_that_is_over_leaves_nothing_in_memory(
    supernode: SuperNode, message: Message
) -> None:
    task_id = supernode.give(1, message)
    with clientapp(supernode) as task:
        reply = task.reply(arrays(3))
    ended(supernode, message, task_id, reply)
    state = supernode.state
    assert len(state.object_store) == 0
    assert state.reply_to(message.metadata.message_id) is None
    assert state.seconds_taken(message.metadata.message_id) == 0
    assert list(state.get_tasks(task_ids=[task_id])) == []


def test_a_message_that_comes_again_after_its_step_is_handed_out_again(
    supernode: SuperNode, message: Message
) -> None:
    """A ServerApp sends the very same message again when the step failed."""
    task_id = supernode.give(1, message)
    with clientapp(supernode) as task:
        reply = task.reply(Error(ErrorCode.CLIENT_APP_CRASHED, "first"))
    ended(supernode, message, task_id, reply)
    supernode.give(1, message)
    with clientapp(supernode) as task:
        assert task.message.content == arrays(1, 2)
        task.reply(arrays(5))
    second = supernode.state.reply_to(message.metadata.message_id)
    assert second is not None
    assert not second.has_error()


def test_the_end_of_a_run_leaves_nothing_of_it_and_all_of_the_others(
    supernode: SuperNode, message: Message
) -> None:
    supernode.add_run(2)
    other = message_to(NODE_ID, 2, arrays(9))
    task_id = supernode.give(1, message)
    with clientapp(supernode) as task:
        reply = task.reply(arrays(3))
    ended(supernode, message, task_id, reply)
    supernode.give(2, other)
    supernode.state.forget_run(1, 1)
    with clientapp(supernode) as task:
        assert task.message.content == arrays(9)


@pytest.mark.parametrize("code", list(ErrorCode), ids=lambda code: code.name)
def test_the_codes_of_error_replies_are_flwrs(code: ErrorCode) -> None:
    """They are on the wire: another version of flwr at the other end reads the number."""
    names = {
        "CLIENT_APP_RAISED": "CLIENT_APP_RAISED_EXCEPTION",
        "CLIENT_APP_NOT_LOADED": "LOAD_CLIENT_APP_EXCEPTION",
        "REPLY_UNAVAILABLE": "REPLY_MESSAGE_UNAVAILABLE",
    }
    assert getattr(FlowerErrorCode, names.get(code.name, code.name)) == code


@pytest.mark.parametrize("kind", [PushObjectsRequest, SendMessagesRequest])
def test_large_contents_go_around_protobuf(kind: type) -> None:
    """What flwr's middleware parses is small, and the contents are beside it, whole."""
    contents = [os.urandom(2_000_000), b"small", os.urandom(100_000)]
    seen: list[Any] = []
    app = FastAPI()

    async def take(request: Request) -> None:
        transfer = current_transfer()
        assert transfer is not None
        seen.append((len(await request.body()), transfer.arrived))

    path = {PushObjectsRequest: paths.RUNTIME_PUSH, SendMessagesRequest: paths.RUNTIME_SEND}[kind]
    app.add_api_route(path, take, methods=["POST"])
    keep_objects_in_memory(app)
    with TestClient(app) as client:
        whole = kind(contents=contents, object_ids=["1", "2", "3"]).SerializeToString()
        assert client.post(path, content=whole).is_success
    ((size, arrived),) = seen
    assert size < 100
    assert arrived == {0: contents[0], 2: contents[2]}
