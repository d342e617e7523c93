"""The Fleet API as a SuperNode calls it: what is asked for is done, and what fails is ours."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from flwr.app import Message
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import (
    Connection,
    SuperLink,
    answers,
    arrays,
    breaks,
    fab,
    reply_to,
)
from tests.unit.witness.rows import receipts

from fedstate.flower.clients import FleetApi
from fedstate.flower.errors import (
    MessageUnavailableError,
    RefusedError,
    ReplyIncompleteError,
    RunEndedError,
    RunStatus,
    SuperLinkError,
    UnauthorizedError,
    UnreachableError,
)
from fedstate.flower.log_pages import LogPage
from fedstate.flower.stored_values import Envelope

Node = tuple[FleetApi, Connection]


def pulled(superlink: SuperLink, api: FleetApi, run_id: int, *sizes: int) -> Envelope:
    """Send the node a message; return it as the node has pulled it."""
    superlink.send(run_id, api.node_id, arrays(*sizes))
    envelope = api.pull_message()
    assert envelope is not None
    return envelope


class TestCalls:
    def test_a_key_is_registered_once_and_admitted_once(self, superlink: SuperLink) -> None:
        keys = key_pair()
        with superlink.api(superlink.connection(), keys) as api:
            api.register()
            api.register()
            node_id = api.activate()
            assert api.node_id == node_id
            assert superlink.is_online(node_id)
            assert api.heartbeat()
            with superlink.api(superlink.connection(), keys) as rival:
                with pytest.raises(RefusedError, match="another SuperNode with the same key"):
                    rival.activate()
                api.deactivate()
                assert not superlink.is_online(node_id)
                assert rival.activate() == node_id

    def test_a_key_that_nobody_registered_is_not_admitted(self, superlink: SuperLink) -> None:
        with (
            superlink.api(superlink.connection(), key_pair()) as api,
            pytest.raises(RefusedError, match="its key is not registered"),
        ):
            api.activate()

    def test_the_id_of_another_node_is_not_taken(self, superlink: SuperLink, node: Node) -> None:
        with superlink.node() as (rival, _):
            rival.node_id = node[0].node_id
            for call in (rival.heartbeat, rival.pull_message, rival.deactivate):
                with pytest.raises(UnauthorizedError, match="does not accept this node's key"):
                    call()
        assert superlink.is_online(node[0].node_id)

    def test_a_message_goes_out_once(self, superlink: SuperLink, node: Node) -> None:
        api, _ = node
        assert api.pull_message() is None
        run_id = superlink.start_run()
        content = arrays(10, 20)
        message_id = superlink.send(run_id, api.node_id, content)
        envelope = api.pull_message()
        assert envelope is not None
        assert envelope.message.metadata.message_id == message_id
        assert set(envelope.object_ids) == set(api.pull_objects(run_id, envelope.object_ids))
        assert api.pull_message() is None

    @pytest.mark.parametrize("sizes", [(1,), (9 * 2**20, 1, 2)], ids=["small", "large"])
    def test_objects_come_as_they_were_sent(
        self, any_superlink: SuperLink, sizes: tuple[int, ...]
    ) -> None:
        with any_superlink.node() as (api, _):
            run_id = any_superlink.start_run()
            content = arrays(*sizes)
            any_superlink.send(run_id, api.node_id, content)
            envelope = api.pull_message()
            assert envelope is not None
            found = api.pull_objects(run_id, envelope.object_ids)
            message_id = envelope.message.metadata.message_id
            message = inflate_object_from_contents(message_id, found)
            assert isinstance(message, Message)
            assert message.content == content

    def test_an_object_that_is_gone_is_said(self, superlink: SuperLink, node: Node) -> None:
        api, _ = node
        run_id = superlink.start_run()
        envelope = pulled(superlink, api, run_id, 10)
        api.confirm(run_id, envelope.message.metadata.message_id)
        assert not superlink.keeps(envelope.message.metadata.message_id)
        with pytest.raises(MessageUnavailableError, match="could not be found"):
            api.pull_objects(run_id, envelope.object_ids)

    def test_a_run_and_its_fab_are_as_they_were_started(
        self, superlink: SuperLink, node: Node
    ) -> None:
        api, _ = node
        content = fab()
        run_id = superlink.start_run(content)
        run = api.run(run_id)
        assert run.run_id == run_id
        assert api.fab(run.fab_hash, run_id).content == content

    def test_what_is_said_of_a_run(self, superlink: SuperLink, node: Node) -> None:
        api, _ = node
        run_id = superlink.start_run()
        assert api.run_status(run_id) is RunStatus.GOING
        assert api.run_status(4711) is RunStatus.UNKNOWN
        superlink.end_run(run_id)
        assert api.run_status(run_id) is RunStatus.ENDED

    def test_a_reply_whose_session_was_replaced_is_incomplete(
        self, superlink: SuperLink, node: Node
    ) -> None:
        api, _ = node
        run_id = superlink.start_run()
        reply, objects = reply_to(pulled(superlink, api, run_id, 10), arrays(20))
        announced = api.announce_reply(reply, 0.5)
        assert announced.wanted == set(objects)
        superlink.state.delete_sessions_in_run(run_id)
        with pytest.raises(ReplyIncompleteError, match="Failed to push object"):
            api.push_objects(run_id, announced.session_id, objects)

    def test_a_wait_counts_where_there_are_notifications(
        self, superlink: SuperLink, flwrs_superlink: SuperLink
    ) -> None:
        with superlink.node() as (api, _):
            waited = api.wait_for_messages(0, 5)
            assert waited is not None
            assert waited.count == superlink.signals.messages.count
            superlink.signals.messages.notify()
            waited = api.wait_for_messages(waited.count, 5)
            assert waited is not None
            assert waited.count == superlink.signals.messages.count
        with flwrs_superlink.node() as (api, connection):
            assert api.wait_for_messages(0, 5) is None
            assert api.wait_for_messages(0, 5) is None
            assert connection.count("wait-for-messages") == 1
            api.deactivate()
            api.activate()
            assert api.wait_for_messages(0, 5) is None
            assert connection.count("wait-for-messages") == 2


class Calls:
    """Every call of the Fleet API, ready to be made."""

    def __init__(self, superlink: SuperLink, api: FleetApi) -> None:
        run_id = superlink.start_run()
        envelope = pulled(superlink, api, run_id, 10)
        reply, objects = reply_to(envelope, arrays(20))
        announced = api.announce_reply(reply, 0.5)
        (object_id, content), *_ = objects.items()
        fab_hash = api.run(run_id).fab_hash
        self.at_once: dict[str, Callable[[], Any]] = {
            "register-node": api.register,
            "activate-node": api.activate,
            "deactivate-node": api.deactivate,
            "send-node-heartbeat": api.heartbeat,
            "pull-messages": api.pull_message,
            "take-message": lambda: api.take_message(0.1),
            "wait-for-messages": lambda: api.wait_for_messages(0, 1),
            "get-run": lambda: api.run_status(run_id),
        }
        self.again: dict[str, Callable[[], Any]] = {
            "get-run": lambda: api.run(run_id),
            "get-fab": lambda: api.fab(fab_hash, run_id),
            "pull-objects": lambda: api.pull_objects(run_id, envelope.object_ids),
            "push-messages": lambda: api.announce_reply(reply, 0.5),
            "push-reply": lambda: api.push_reply(reply, objects, 0.5, None, confirm=False),
            "push-log": lambda: api.push_log(LogPage(receipts(1))),
            "push-objects": lambda: api.push_objects(run_id, announced.session_id, objects),
            "push-object": lambda: api.push_object(run_id, object_id, content),
            "confirm-message-received": lambda: api.confirm(run_id, envelope.message.object_id),
        }


AT_ONCE = [
    "register-node",
    "activate-node",
    "deactivate-node",
    "send-node-heartbeat",
    "pull-messages",
    "take-message",
    "wait-for-messages",
    "get-run",
]
AGAIN = [
    "get-run",
    "get-fab",
    "pull-objects",
    "push-messages",
    "push-reply",
    "push-log",
    "push-objects",
    "push-object",
    "confirm-message-received",
]
BEFORE = [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout]
DURING = [httpx.ReadError, httpx.WriteError, httpx.ReadTimeout, httpx.RemoteProtocolError]


@pytest.fixture
def calls(superlink: SuperLink, node: Node) -> Calls:
    return Calls(superlink, node[0])


class TestFaults:
    def test_every_call_is_tried(self, calls: Calls) -> None:
        assert set(calls.at_once) == set(AT_ONCE)
        assert set(calls.again) == set(AGAIN)
        public = {name for name in dir(FleetApi) if not name.startswith("_")}
        assert len(public - {"close", "has_next_key"}) == len(AT_ONCE) + len(AGAIN)

    @pytest.mark.parametrize("name", AT_ONCE)
    def test_a_connection_that_breaks_says_whether_the_request_left(
        self, calls: Calls, node: Node, name: str
    ) -> None:
        for error, sent in [*((e, False) for e in BEFORE), *((e, True) for e in DURING)]:
            node[1].plan(name, breaks(error, after=sent))
            with pytest.raises(UnreachableError, match="cannot be reached") as raised:
                calls.at_once[name]()
            assert raised.value.sent == sent, error

    @pytest.mark.parametrize("name", AGAIN)
    def test_what_passes_is_tried_again(self, calls: Calls, node: Node, name: str) -> None:
        faults = [
            *(breaks(error, after=False) for error in (*BEFORE, *DURING)),
            *(answers(status) for status in (502, 503, 504)),
        ]
        node[1].plan(name, *faults)
        before = node[1].count(name)
        calls.again[name]()
        assert node[1].count(name) > before + len(faults)

    @pytest.mark.parametrize("name", AGAIN)
    def test_what_was_done_is_done_again_without_harm(
        self, calls: Calls, node: Node, name: str
    ) -> None:
        """Or it is said that the reply is to be sent again, whose session is over."""
        node[1].plan(name, breaks(httpx.ReadError, after=True))
        try:
            calls.again[name]()
        except ReplyIncompleteError:
            assert name in ("push-objects", "push-object", "push-reply")

    @pytest.mark.parametrize("kind", ["at_once", "again"])
    @pytest.mark.parametrize("status", [400, 401, 403, 409, 500])
    def test_an_error_answer_is_ours(
        self, calls: Calls, node: Node, kind: str, status: int
    ) -> None:
        for name, call in getattr(calls, kind).items():
            node[1].plan(name, answers(status))
            with pytest.raises(SuperLinkError) as raised:
                call()
            assert not node[1].planned(name), "it was not asked, or again"
            error = raised.value
            if status == 403 and kind == "again":
                assert type(error) is RunEndedError
                continue
            assert isinstance(error, RefusedError)
            assert error.status == status
            assert isinstance(error, UnauthorizedError) == (status == 401)
            assert error.is_server_error == (status == 500)

    @pytest.mark.parametrize("kind", ["at_once", "again"])
    def test_an_answer_that_cannot_be_read_is_ours(
        self, calls: Calls, node: Node, kind: str
    ) -> None:
        for name, call in getattr(calls, kind).items():
            node[1].plan(name, answers(200, b"\xff<html>"))
            with pytest.raises(SuperLinkError) as raised:
                call()
            if name == "pull-objects":
                assert isinstance(raised.value, MessageUnavailableError)
            else:
                assert isinstance(raised.value, UnreachableError)
                assert raised.value.sent

    def test_a_run_that_ended_meanwhile_ends_every_call_for_it(
        self, superlink: SuperLink, node: Node
    ) -> None:
        api, _ = node
        run_id = superlink.start_run()
        fab_hash = api.run(run_id).fab_hash
        reply, objects = reply_to(pulled(superlink, api, run_id, 10), arrays(20))
        superlink.end_run(run_id)
        ended: list[Callable[[], Any]] = [
            lambda: api.run(run_id),
            lambda: api.fab(fab_hash, run_id),
            lambda: api.pull_objects(run_id, reply.object_ids),
            lambda: api.announce_reply(reply, 0.5),
            lambda: api.push_reply(reply, objects, 0.5, None, confirm=True),
            lambda: api.push_objects(run_id, "none", objects),
            lambda: api.push_object(run_id, *next(iter(objects.items()))),
        ]
        for call in ended:
            with pytest.raises(RunEndedError):
                call()
