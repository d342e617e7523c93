"""Messages come in one by one, and none is lost without the ServerApp being told."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from flwr.app import Message
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import (
    Connection,
    Fault,
    Handle,
    SuperLink,
    answers,
    arrays,
    breaks,
    reply_to,
)

from fedstate.exchange.messages import PushLogResponse, WaitResponse
from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi
from fedstate.flower.errors import (
    ErrorCode,
    RefusedError,
    RunEndedError,
    RunStatus,
    UnauthorizedError,
    UnreachableError,
)
from fedstate.flower.log_pages import LogPage, LogRequest
from fedstate.flower.own_key import OwnKey
from fedstate.flower.stored_values import Envelope
from fedstate.store.errors import StoreError
from fedstate.supernode.link import Link
from fedstate.supernode.membership import Membership, Patience, Timing
from fedstate.supernode.session import SessionFile
from fedstate.witness.receipts import Receipt, is_signed_by


class Linked:
    """A node that has joined, with its link."""

    def __init__(self, superlink: SuperLink, session: SessionFile) -> None:
        self.superlink, self.session = superlink, session
        self.connection: Connection = superlink.connection()
        self.api: FleetApi = superlink.api(self.connection, key_pair())
        self.membership = Membership(
            self.api,
            session,
            register=True,
            patience=Patience(max_retries=3),
            timing=Timing(heartbeat=3600, away=0.01, first_retry=0.01, retry=0.05),
        )
        self.membership.join()
        self.link = Link(self.api, self.membership)
        self.run_id = superlink.start_run()
        self.stored: list[Envelope] = []

    def send(self) -> str:
        return self.superlink.send(self.run_id, self.api.node_id, arrays(10))

    def receive(self) -> bool:
        return self.link.receive(self.stored.append)

    @property
    def pulling(self) -> bool:
        """Whether the next SuperNode would take it that a message was lost."""
        previous = self.session.previous()
        assert previous is not None
        return previous.pulling


@pytest.fixture
def linked(superlink: SuperLink, tmp_path: Path) -> Iterator[Linked]:
    with closing(SessionFile(tmp_path / "session", PATIENCE_SECONDS)) as session:
        linked = Linked(superlink, session)
        yield linked
        linked.membership.leave(for_good=True)


def test_a_message_is_stored_before_the_pull_is_over(linked: Linked) -> None:
    assert not linked.receive()
    message_id = linked.send()

    def store(envelope: Envelope) -> None:
        assert envelope.message.metadata.message_id == message_id
        assert linked.pulling

    assert linked.link.receive(store)
    assert not linked.pulling
    assert not linked.receive()


def test_a_message_that_cannot_be_stored_may_be_lost(linked: Linked) -> None:
    linked.send()

    def fail(_envelope: Envelope) -> None:
        raise StoreError("as the test wants it")

    with pytest.raises(StoreError):
        linked.link.receive(fail)
    assert linked.pulling


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (breaks(httpx.ConnectError, after=False), UnreachableError),
        (breaks(httpx.ConnectTimeout, after=False), UnreachableError),
        (breaks(httpx.PoolTimeout, after=False), UnreachableError),
        (answers(401), UnauthorizedError),
        (answers(403), RefusedError),
        (answers(500), RefusedError),
        (answers(503), RefusedError),
    ],
)
def test_a_pull_that_did_not_happen_loses_nothing(
    linked: Linked, fault: Fault, error: type[Exception]
) -> None:
    linked.send()
    linked.connection.plan("pull-messages", fault)
    with pytest.raises(error):
        linked.receive()
    assert not linked.pulling
    assert linked.connection.count("deactivate-node") == 0
    assert linked.receive()


@pytest.mark.parametrize(
    "fault",
    [
        breaks(httpx.ReadError, after=True),
        breaks(httpx.ReadTimeout, after=True),
        breaks(httpx.RemoteProtocolError, after=True),
        answers(200, b"\xff<html>", after=True),
    ],
)
def test_a_message_that_was_lost_on_its_way_is_an_error_to_its_serverapp(
    linked: Linked, fault: Fault
) -> None:
    message_id = linked.send()
    replies: list[Message | None] = []

    def look(handle: Handle) -> httpx.Response:
        """Look for a reply as the ServerApp does, while the node is away."""
        response = handle()
        replies.append(linked.superlink.take_reply(linked.run_id, message_id))
        return response

    linked.connection.plan("pull-messages", fault)
    linked.connection.plan("deactivate-node", look)
    assert not linked.receive()
    assert not linked.pulling
    assert linked.superlink.is_online(linked.api.node_id)
    (reply,) = replies
    assert reply is not None
    assert reply.error.code == ErrorCode.NODE_UNAVAILABLE
    # The ServerApp sends it again, and it arrives.
    linked.send()
    assert linked.receive()


def test_a_wait_ends_with_a_notification(linked: Linked) -> None:
    assert linked.link.wait_for_messages() == ()
    linked.superlink.signals.messages.notify()
    assert linked.link.wait_for_messages() == ()
    linked.connection.plan("wait-for-messages", answers(404))
    assert linked.link.wait_for_messages() is None


def test_a_wait_ends_when_a_run_does(linked: Linked) -> None:
    link, run_id = linked.link, linked.run_id
    other = linked.superlink.start_run()
    assert link.wait_for_messages([run_id, other]) == ()
    assert link.tells_ends
    linked.superlink.end_run(run_id)
    assert link.wait_for_messages([run_id, other]) == (run_id,)
    assert link.wait_for_messages([run_id, other]) == (run_id,), "for as long as it is named"
    linked.connection.plan("wait-for-messages", answers(503))
    with pytest.raises(RefusedError):
        link.wait_for_messages([other])
    assert not link.tells_ends


def test_a_step_of_a_run_from_its_message_to_its_reply(linked: Linked) -> None:
    message_id = linked.send()
    assert linked.receive()
    (envelope,) = linked.stored
    link, run_id = linked.link, linked.run_id
    assert link.run_status(run_id) is RunStatus.GOING
    run = link.run(run_id)
    assert link.fab(run.fab_hash, run_id).hash_str == run.fab_hash
    assert set(link.pull_objects(run_id, envelope.object_ids)) == set(envelope.object_ids)
    content = arrays(20)
    reply, objects = reply_to(envelope, content)
    assert link.send(reply, objects, 0.5, None, again=False, confirm=True)
    assert not linked.superlink.keeps(message_id)
    # It was killed before it noted that the reply had left, and sends it again.
    assert not link.send(reply, objects, 0.5, None, again=True, confirm=True)
    link.confirm(run_id, message_id)
    taken = linked.superlink.take_reply(run_id, message_id)
    assert taken is not None
    assert linked.superlink.content_of(run_id, taken) == content
    linked.superlink.end_run(run_id)
    assert link.run_status(run_id) is RunStatus.ENDED
    with pytest.raises(RunEndedError):
        link.run(run_id)


def test_who_waits_for_messages_hears_what_is_asked_of_the_log(linked: Linked) -> None:
    asked: list[LogRequest] = []
    linked.link.on_log_requests = asked.extend
    response = WaitResponse(count=3)
    response.log_requests.add(request_id="q", run_ids=[7], after_sequence=9, held=True)

    def answer(handle: Handle) -> httpx.Response:
        handle()  # as a SuperLink of a release without it, which asks for nothing
        return httpx.Response(200, content=response.SerializeToString())

    linked.connection.plan("wait-for-messages", answer)
    assert linked.link.wait_for_messages() == ()
    assert asked == [LogRequest("q", (7,), 9, held=True)]


def test_a_receipt_is_signed_once(linked: Linked) -> None:
    unsigned, signed = Receipt(b"row"), Receipt(b"row", b"noted")
    assert linked.link.sign(unsigned) == unsigned
    keys = key_pair()
    link = Link(linked.api, linked.membership, OwnKey(keys))
    assert is_signed_by(link.sign(unsigned), keys[1])
    assert link.sign(signed) == signed


def test_what_is_pushed_of_the_log_may_be_wanted_or_not(linked: Linked) -> None:
    page = LogPage([Receipt(b"row")], "q")
    for wanted in (True, False):
        answer = PushLogResponse(wanted=wanted).SerializeToString()
        linked.connection.plan("push-log", answers(200, answer or b""))
        assert linked.link.push_log(page) == wanted
    linked.connection.plan("push-log", answers(404))
    assert not linked.link.push_log(page)
