"""A wait that brings its message: whatever breaks, the next one brings what was lost."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import httpx
import pytest
from flwr.app import RecordDict
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import (
    Connection,
    Fault,
    SuperLink,
    answers,
    arrays,
    breaks,
    reply_to,
)
from tests.waiting import wait_until

from fedstate.exchange.messages import BATCH_BYTES, TakeResponse
from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi
from fedstate.flower.errors import SuperLinkError, UnreachableError
from fedstate.flower.log_pages import LogRequest
from fedstate.flower.stored_values import Envelope
from fedstate.store.errors import StoreError
from fedstate.supernode.link import Link
from fedstate.supernode.membership import Membership, Timing
from fedstate.supernode.session import SessionFile

LOST_ON_THE_WAY = [
    breaks(httpx.ReadError, after=True),
    breaks(httpx.ReadTimeout, after=True),
    breaks(httpx.RemoteProtocolError, after=True),
    answers(200, b"\xff<html>", after=True),
    answers(500, after=True),
    answers(503, after=True),
]
NEVER_THERE = [
    breaks(httpx.ConnectError, after=False),
    breaks(httpx.ReadError, after=False),
    answers(500),
]


class Linked:
    """A node that has joined, its link, and its store: the messages whose reply is due."""

    def __init__(self, superlink: SuperLink, session: SessionFile) -> None:
        self.superlink, self.session = superlink, session
        self.connection: Connection = superlink.connection()
        self.api: FleetApi = superlink.api(self.connection, key_pair())
        timing = Timing(heartbeat=3600, away=0.01, first_retry=0.01, retry=0.05, told=0.0)
        self.membership = Membership(self.api, session, register=True, timing=timing)
        self.membership.join()
        self.run_id = superlink.start_run()
        self.stored: dict[str, Envelope] = {}
        self.arrivals: list[str] = []
        self.start()

    def start(self) -> None:
        """Start what a SuperNode has in memory."""
        self.link = Link(self.api, self.membership, take_seconds=0.01)
        self.link.have = lambda: list(self.stored)

    def send(self, content: RecordDict | None = None) -> str:
        return self.superlink.send(self.run_id, self.api.node_id, content or arrays(10))

    def store(self, envelope: Envelope) -> None:
        message_id = envelope.message.metadata.message_id
        self.arrivals.append(message_id)
        self.stored[message_id] = envelope

    def take(self) -> tuple[int, ...] | None:
        return self.link.take(self.store, [self.run_id])

    def answer(self, message_id: str) -> None:
        """Send the reply to a message, which the store then has no more to do with."""
        reply, objects = reply_to(self.stored[message_id], arrays(20))
        assert self.link.send(reply, objects, 0.5, None, again=False, confirm=True)
        del self.stored[message_id]


@pytest.fixture
def linked(superlink: SuperLink, tmp_path: Path) -> Iterator[Linked]:
    with closing(SessionFile(tmp_path / "session", PATIENCE_SECONDS)) as session:
        linked = Linked(superlink, session)
        yield linked
        linked.membership.leave(for_good=True)


def test_a_message_comes_with_its_objects(linked: Linked) -> None:
    assert linked.take() == ()
    message_id = linked.send()
    assert linked.take() == ()
    assert linked.arrivals == [message_id]
    envelope = linked.stored[message_id]
    objects = linked.link.pull_objects(linked.run_id, envelope.object_ids)
    assert set(objects) == set(envelope.object_ids)
    assert linked.connection.count("pull-objects") == 0
    assert linked.connection.count("pull-messages") == 0
    # They are kept once.
    assert linked.link.pull_objects(linked.run_id, envelope.object_ids) == objects
    assert linked.connection.count("pull-objects") == 1
    assert linked.take() == ()
    assert linked.arrivals == [message_id]


def test_objects_that_do_not_fit_are_pulled(linked: Linked) -> None:
    sizes = [10, BATCH_BYTES // 2, BATCH_BYTES // 2, BATCH_BYTES + 1, 20]
    message_id = linked.send(arrays(*sizes))
    linked.take()
    envelope = linked.stored[message_id]
    objects = linked.link.pull_objects(linked.run_id, envelope.object_ids)
    assert sorted(objects) == sorted(envelope.object_ids)
    assert sum(map(len, objects.values())) > sum(sizes)
    assert linked.connection.count("pull-objects") >= 1


@pytest.mark.parametrize("fault", LOST_ON_THE_WAY)
def test_a_message_that_was_lost_on_its_way_comes_again(linked: Linked, fault: Fault) -> None:
    linked.take()
    message_id = linked.send()
    linked.connection.plan("take-message", fault)
    with pytest.raises(SuperLinkError):
        linked.take()
    assert linked.arrivals == []
    linked.take()
    assert linked.arrivals == [message_id]
    linked.take()
    assert linked.arrivals == [message_id], "once it is stored it does not come again"
    assert linked.connection.count("deactivate-node") == 0
    linked.answer(message_id)


@pytest.mark.parametrize("fault", NEVER_THERE)
def test_a_request_that_did_not_arrive_loses_nothing(linked: Linked, fault: Fault) -> None:
    message_id = linked.send()
    linked.connection.plan("take-message", fault)
    with pytest.raises(SuperLinkError):
        linked.take()
    linked.take()
    assert linked.arrivals == [message_id]


def test_what_could_not_be_stored_comes_to_the_next_supernode(linked: Linked) -> None:
    linked.take()
    message_id = linked.send()

    def fail(_: Envelope) -> None:
        raise StoreError("as the test wants it")

    with pytest.raises(StoreError):
        linked.link.take(fail)
    linked.start()
    linked.take()
    assert linked.arrivals == [message_id]
    linked.start()
    linked.take()
    assert linked.arrivals == [message_id], "the store has it"


def test_a_message_that_was_answered_does_not_come_again(linked: Linked) -> None:
    message_id = linked.send()
    linked.take()
    linked.answer(message_id)
    linked.start()
    linked.take()
    assert linked.superlink.take_reply(linked.run_id, message_id) is not None
    linked.start()
    linked.take()
    assert linked.arrivals == [message_id]


def test_whatever_happens_each_message_arrives(linked: Linked) -> None:
    """A node is killed, connections break, replies are sent: no message stays behind."""
    random = Random(17)  # noqa: S311
    sent: list[str] = []

    def kill() -> None:
        linked.start()

    def break_one() -> None:
        linked.connection.plan("take-message", random.choice(LOST_ON_THE_WAY + NEVER_THERE))

    def take() -> None:
        before = len(linked.arrivals)
        try:
            linked.take()
        except SuperLinkError:
            assert len(linked.arrivals) == before

    def answer() -> None:
        if linked.stored:
            linked.answer(random.choice(list(linked.stored)))

    actions: list[Callable[[], object]] = [
        *(lambda: sent.append(linked.send()), take, take, take),
        *(kill, break_one, answer),
    ]
    for _ in range(120):
        random.choice(actions)()
    linked.connection.up()
    wait_until(lambda: linked.take() is not None and set(linked.arrivals) == set(sent))
    assert len(linked.arrivals) == len(sent), "what was stored has come again"


def test_a_superlink_without_the_route_is_asked_once(linked: Linked) -> None:
    linked.connection.down("take-message", answers(404))
    assert linked.take() is None
    assert linked.take() is None
    assert linked.connection.count("take-message") == 1
    assert linked.connection.count("deactivate-node") == 0


def test_another_superlink_may_have_handed_out_what_did_not_arrive(linked: Linked) -> None:
    linked.take()
    linked.connection.plan("take-message", LOST_ON_THE_WAY[0], answers(404))
    with pytest.raises(UnreachableError):
        linked.take()
    assert linked.take() is None
    assert linked.connection.count("deactivate-node") == 1, "ServerApps see it away"
    assert linked.superlink.is_online(linked.api.node_id)


def test_a_wait_is_a_heartbeat(linked: Linked) -> None:
    linked.superlink.lapse(linked.api.node_id)
    assert not linked.superlink.is_online(linked.api.node_id)
    linked.take()
    assert linked.superlink.is_online(linked.api.node_id)
    before = linked.session._alive_at
    linked.take()
    assert linked.session._alive_at > before
    linked.superlink.lapse(linked.api.node_id)
    linked.api.take_message(0.0, beats=False)
    assert not linked.superlink.is_online(linked.api.node_id)


def test_a_wait_ends_when_a_run_does(linked: Linked) -> None:
    linked.take()
    assert linked.link.tells_ends
    linked.superlink.end_run(linked.run_id)
    assert linked.take() == (linked.run_id,)
    linked.connection.plan("take-message", answers(503))
    with pytest.raises(SuperLinkError):
        linked.take()
    assert not linked.link.tells_ends


def test_what_is_asked_of_the_log_comes_with_the_answer(linked: Linked) -> None:
    asked: list[LogRequest] = []
    linked.link.on_log_requests = asked.extend
    response = TakeResponse(known=True)
    response.log_requests.add(request_id="q", run_ids=[7], after_sequence=9, held=True)
    linked.connection.plan("take-message", answers(200, response.SerializeToString()))
    assert linked.take() == ()
    assert asked == [LogRequest("q", (7,), 9, held=True)]
