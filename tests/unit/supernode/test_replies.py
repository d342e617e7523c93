"""A reply arrives whole, however it was interrupted, at our SuperLink and at flwr's."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from flwr.app import RecordDict
from tests.unit.superlink_in_process import (
    Connection,
    SuperLink,
    arrays,
    breaks,
    reply_to,
)
from tests.unit.witness.rows import receipts

from fedstate.flower.clients import FleetApi, Objects
from fedstate.flower.errors import ReplyIncompleteError, RunEndedError
from fedstate.flower.stored_values import Envelope
from fedstate.supernode.replies import Replies

# Less than flwr's largest object, so that there are some that are too large for a batch.
BATCH_BYTES = 4 * 2**20
SIZES = {
    "small": (10, 20),
    "none": (),
    "two batches": (BATCH_BYTES // 2, BATCH_BYTES // 2, 10),
    "large among small": (10, BATCH_BYTES + 1, 20),
}
PUSHES = ("push-reply", "push-messages", "push-objects", "push-object")


@pytest.fixture(autouse=True, scope="module")
def _small_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("exchange.client", "supernode.replies"):
            patch.setattr(f"fedstate.{module}.BATCH_BYTES", BATCH_BYTES)
        yield


RECEIPT = replace(receipts(1)[0], signature=b"signature")


class Answering:
    """A node that answers one message of a run."""

    def __init__(self, superlink: SuperLink, api: FleetApi, sizes: tuple[int, ...]) -> None:
        self.superlink, self.api = superlink, api
        self.run_id = superlink.start_run()
        self.message_id = superlink.send(self.run_id, api.node_id, arrays(1))
        envelope = api.pull_message()
        assert envelope is not None
        self.content = arrays(*sizes) if sizes else RecordDict()
        self.reply: Envelope
        self.objects: Objects
        self.reply, self.objects = reply_to(envelope, self.content)
        self.replies = Replies(api)

    def send(self, *, confirm: bool = False) -> bool:
        return self.replies.send(self.reply, self.objects, 0.5, RECEIPT, confirm=confirm)

    def send_again(self) -> None:
        self.replies.send_again(self.reply, self.objects, 0.5, RECEIPT)

    def arrived(self) -> bool:
        """Take the reply as the ServerApp; return whether it is there, and then it is whole."""
        reply = self.superlink.take_reply(self.run_id, self.message_id)
        if reply is None:
            return False
        assert self.superlink.content_of(self.run_id, reply) == self.content
        return True


@pytest.fixture(params=["ours", "flwr"])
def at(request: pytest.FixtureRequest) -> Iterator[tuple[SuperLink, FleetApi, Connection]]:
    """A node that is online at our SuperLink, or at flwr's own."""
    name = "superlink" if request.param == "ours" else "flwrs_superlink"
    superlink: SuperLink = request.getfixturevalue(name)
    with superlink.node() as (api, connection):
        yield superlink, api, connection


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_reply_arrives_whole(
    at: tuple[SuperLink, FleetApi, Connection], superlink: SuperLink, sizes: tuple[int, ...]
) -> None:
    answering = Answering(*at[:2], sizes)
    at[2].requests.clear()
    confirmed = answering.send(confirm=True)
    assert answering.arrived()
    at_once = at[0] is superlink and sum(map(len, answering.objects.values())) < BATCH_BYTES
    assert confirmed == at_once
    assert at[0].keeps(answering.message_id) != confirmed
    if at_once:
        assert at[2].requests == ["push-reply"]


class Read(dict[str, bytes]):
    """Objects of a reply that are read from where they are; notes what was sent before."""

    def __init__(self, objects: Objects, requests: list[str]) -> None:
        super().__init__(objects)
        self._requests = requests
        self.read: list[tuple[str, bool]] = []

    def __getitem__(self, object_id: str) -> bytes:
        self.read.append((object_id, "push-objects" in self._requests))
        return super().__getitem__(object_id)


def test_no_more_of_a_large_reply_is_read_than_is_sent_at_once(
    superlink: SuperLink,
) -> None:
    with superlink.node() as (api, connection):
        answering = Answering(superlink, api, SIZES["two batches"])
        reading = answering.objects = Read(answering.objects, connection.requests)
        answering.send()
        assert answering.arrived()
    assert not reading.read[0][1]
    assert reading.read[-1][1], "all of it is in memory before any of it is sent"


def test_one_that_is_not_to_be_confirmed_is_not(
    at: tuple[SuperLink, FleetApi, Connection],
) -> None:
    answering = Answering(*at[:2], (10,))
    assert not answering.send(confirm=False)
    assert at[0].keeps(answering.message_id)


def test_a_route_that_is_missing_is_asked_for_once(flwrs_superlink: SuperLink) -> None:
    with flwrs_superlink.node() as (api, connection):
        for _ in range(2):
            answering = Answering(flwrs_superlink, api, (10,))
            answering.send()
            assert answering.arrived()
        assert connection.count("push-reply") == 1
        assert connection.count("push-objects") == 1


class Killed(BaseException):
    """In place of the end of the process."""


class KillingAt(httpx.BaseTransport):
    """A connection that ends at one of the requests that push a reply.

    Parameters
    ----------
    inner : httpx.BaseTransport
        The connection.
    number : int
        At which of these requests.
    after : bool
        Whether the SuperLink has handled it.
    """

    def __init__(self, inner: httpx.BaseTransport, number: int, *, after: bool) -> None:
        self._inner, self._left, self._after = inner, number, after

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.rpartition("/")[2] in PUSHES:
            self._left -= 1
            if self._left == 0 and self._after:
                self._inner.handle_request(request)
            if self._left <= 0:
                raise Killed
        return self._inner.handle_request(request)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("at", "size"), [("ours", 10), ("ours", BATCH_BYTES + 1), ("flwr", 10)], indirect=["at"]
)
def test_a_killed_push_is_completed_by_the_next_one(
    at: tuple[SuperLink, FleetApi, Connection], size: int, after: bool
) -> None:
    """At each of its requests: killed before it arrives, or before its answer does."""
    superlink, api, connection = at
    inner = connection._inner
    for number in itertools.count(1):
        assert api.heartbeat()
        answering = Answering(superlink, api, (size,))
        connection._inner = KillingAt(inner, number, after=after)
        try:
            answering.send()
            break
        except Killed:
            connection._inner = inner
        # A ServerApp that looks meanwhile takes a reply whose objects are still to come.
        took = superlink.take_reply(answering.run_id, answering.message_id)
        try:
            answering.send_again()
        except ReplyIncompleteError:
            answering.send_again()
        took = took or superlink.take_reply(answering.run_id, answering.message_id)
        assert took is not None
        assert superlink.content_of(answering.run_id, took) == answering.content
    assert number > 1


def test_a_session_that_was_lost_is_said_and_the_next_push_completes_it(
    at: tuple[SuperLink, FleetApi, Connection],
) -> None:
    superlink, api, connection = at
    answering = Answering(superlink, api, SIZES["large among small"])

    def lose(handle: object) -> httpx.Response:
        superlink.state.delete_sessions_in_run(answering.run_id)
        return handle()  # type: ignore[operator, no-any-return]

    connection.plan("push-object", lose)
    with pytest.raises(ReplyIncompleteError):
        answering.send()
    answering.send_again()
    assert answering.arrived()


def test_a_run_that_ended_takes_no_reply(at: tuple[SuperLink, FleetApi, Connection]) -> None:
    answering = Answering(*at[:2], (10,))
    at[0].end_run(answering.run_id)
    with pytest.raises(RunEndedError):
        answering.send()
    with pytest.raises(RunEndedError):
        answering.send_again()


@pytest.mark.parametrize("call", PUSHES)
def test_a_connection_that_breaks_on_the_way_is_tried_again(
    superlink: SuperLink, node: tuple[FleetApi, Connection], call: str
) -> None:
    size = 10 if call == "push-reply" else BATCH_BYTES + 1
    answering = Answering(superlink, node[0], (size,))
    node[1].plan(call, breaks(httpx.ReadError, after=True))
    try:
        answering.send()
    except ReplyIncompleteError:
        answering.send_again()
    assert not node[1].planned(call)
    assert answering.arrived()
