"""A node joins, stays and leaves, whatever becomes of the connection."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import (
    Connection,
    Fault,
    Handle,
    SuperLink,
    answers,
    breaks,
    refuses_clock,
)
from tests.waiting import wait_until

from fedstate.errors import FederationError
from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi
from fedstate.flower.errors import RefusedError
from fedstate.flower.own_key import KeyPair
from fedstate.supernode.membership import Membership, Patience, Timing
from fedstate.supernode.session import SessionFile

QUICK = Timing(heartbeat=3600, away=0.01, first_retry=0.01, retry=0.05)
IMPATIENT = Patience(max_retries=0)
DOWN: list[Fault] = [
    breaks(httpx.ConnectError, after=False),
    breaks(httpx.ReadTimeout, after=False),
    answers(500),
    answers(401),
    answers(403),
    answers(200, b"\xff<html>"),
    refuses_clock(-3600),
]


class Node:
    """The SuperNodes of one node, one after the other, as far as they are members."""

    def __init__(self, superlink: SuperLink, directory: Path) -> None:
        self.superlink = superlink
        self.directory = directory
        self.keys: KeyPair = key_pair()
        self.connection: Connection = superlink.connection()

    @contextmanager
    def started(
        self, patience: Patience = IMPATIENT, timing: Timing = QUICK
    ) -> Iterator[Membership]:
        """Give a SuperNode that has not joined; it is killed unless it leaves."""
        self.connection.requests.clear()
        self.api: FleetApi = self.superlink.api(self.connection, self.keys)
        with closing(SessionFile(self.directory / "session", PATIENCE_SECONDS)) as session:
            self.session = session
            membership = Membership(
                self.api, session, register=True, patience=patience, timing=timing
            )
            try:
                yield membership
            finally:
                membership._left.set()  # its heartbeats end with it
                if membership._heart.is_alive():
                    membership._heart.join(10)
                self.api.close()

    @property
    def online(self) -> bool:
        return self.superlink.is_online(self.api.node_id)


@pytest.fixture
def member(superlink: SuperLink, tmp_path: Path) -> Node:
    return Node(superlink, tmp_path)


def test_a_new_node_is_registered_and_admitted(member: Node) -> None:
    with member.started() as membership:
        membership.join()
        assert membership.node_id == member.api.node_id > 0
        assert member.online
        assert member.connection.requests == ["register-node", "activate-node"]
        previous = member.session.previous()
        assert previous is not None
        assert previous.node_id == membership.node_id
        assert not previous.pulling


def test_a_node_that_is_not_to_register_itself_does_not(member: Node) -> None:
    with member.started() as membership:
        membership._register = False
        with pytest.raises(FederationError, match="its key is not registered"):
            membership.join()
        assert member.connection.requests == ["activate-node"]


def test_a_killed_supernode_goes_on_with_its_session(member: Node) -> None:
    with member.started() as killed:
        killed.join()
        node_id = killed.node_id
    with member.started() as membership:
        membership.join()
        assert membership.node_id == node_id
        assert member.connection.requests == ["send-node-heartbeat"]


def test_one_that_was_killed_while_it_pulled_is_seen_offline(member: Node) -> None:
    with member.started() as killed:
        killed.join()
        killed.pulling(active=True)
    with member.started() as membership:
        membership.join()
        assert member.connection.requests == ["deactivate-node", "register-node", "activate-node"]
        assert member.online


def test_a_session_that_the_superlink_has_forgotten_begins_anew(member: Node) -> None:
    with member.started() as killed:
        killed.join()
    other = "send-node-heartbeat"
    member.connection.plan(other, answers(500))
    with member.started() as membership:
        # The SuperLink does not confirm the session, and has to count it as over.
        member.superlink.lapse(membership._session.previous().node_id)  # type: ignore[union-attr]
        membership.join()
        assert member.connection.requests == [other, "register-node", "activate-node"]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the time of day so many days ahead."""
    right, ahead = time.time, 0.0

    def set_ahead(days: float) -> None:
        nonlocal ahead
        ahead = days * 86400

    monkeypatch.setattr(time, "time", lambda: right() + ahead)
    return set_ahead


@pytest.mark.parametrize("days", [8, -8])
def test_a_session_goes_on_though_the_clock_was_set(
    member: Node, set_clock: Callable[[float], None], days: float
) -> None:
    with member.started() as killed:
        killed.join()
    set_clock(days)
    with member.started() as membership:
        membership.join()
        assert member.connection.requests == ["send-node-heartbeat"]


def test_a_clock_that_is_set_back_keeps_no_heartbeat_away(
    member: Node, set_clock: Callable[[float], None]
) -> None:
    with member.started(timing=Timing(heartbeat=3600, told=0.0)) as membership:
        membership.join()

        def late(handle: Handle) -> httpx.Response:
            set_clock(-8)
            return handle()

        member.connection.plan("send-node-heartbeat", late)
        assert membership._heartbeat()
        assert membership.wants_heartbeat


def test_of_a_wrong_clock_the_log_has_one_sentence_while_it_is_wrong(
    member: Node, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = refuses_clock(-8 * 86400)
    with member.started(Patience(), Timing(0.01, away=0.01, first_retry=0.01)) as membership:
        member.connection.plan("register-node", *[wrong] * 3)
        membership.join()
        beats = member.connection.count
        seen = beats("send-node-heartbeat")
        member.connection.plan("deactivate-node", *[wrong] * 3)
        member.connection.plan("send-node-heartbeat", *[wrong] * 3)
        membership.rejoin()
        wait_until(lambda: beats("send-node-heartbeat") > seen + 3)
        assert member.online
    ours = [each for each in caplog.records if each.name == "flwr.fedstate"]
    said = [each.getMessage() for each in ours if each.levelname != "INFO"]
    assert all("8 days behind that of the SuperLink, " in each for each in said)
    assert 1 <= len(said) <= 3, "of each time that it was set"


def test_a_second_supernode_is_refused_until_the_first_leaves_for_good(member: Node) -> None:
    with member.started() as first:
        first.join()
        rival = member.superlink.api(member.superlink.connection(), member.keys)
        with rival, pytest.raises(RefusedError, match="another SuperNode with the same key"):
            rival.activate()
        first.leave(for_good=True)
        assert member.session.previous() is None
    with member.superlink.api(member.superlink.connection(), member.keys) as rival:
        assert rival.activate() == first.node_id


def test_one_that_stops_with_steps_under_way_stays_online(member: Node) -> None:
    with member.started() as first:
        first.join()
        first.leave(for_good=False)
        assert member.online
    with member.started() as membership:
        membership.join()
        assert member.connection.requests == ["send-node-heartbeat"]


def test_one_that_never_joined_leaves_without_a_word(member: Node) -> None:
    with member.started() as membership:
        membership.leave(for_good=True)
    assert member.connection.requests == []


@pytest.mark.parametrize("fault", DOWN)
def test_it_joins_once_the_superlink_answers(member: Node, fault: Fault) -> None:
    with member.started(Patience()) as membership:
        member.connection.plan("register-node", fault, fault)
        member.connection.plan("activate-node", fault)
        membership.join()
        assert member.online
        assert member.connection.count("activate-node") == 2


@pytest.mark.parametrize("fault", DOWN)
@pytest.mark.parametrize("patience", [Patience(max_retries=2), Patience(max_seconds=0.1)])
def test_its_patience_ends(member: Node, fault: Fault, patience: Patience) -> None:
    with member.started(patience) as membership:
        member.connection.down("*", fault)
        with pytest.raises(
            FederationError, match=r"tried \d+ times in \d s\. (The SuperL|This mac)"
        ):
            membership.join()
        assert not membership._heart.is_alive()
    if patience.max_retries is not None:
        assert member.connection.count("register-node") == patience.max_retries + 1


def test_one_that_is_stopped_does_not_go_on_trying(member: Node) -> None:
    with member.started(Patience(), Timing(first_retry=3600, retry=3600)) as membership:
        member.connection.down("*", breaks(httpx.ConnectError, after=False))
        raised: list[str] = []

        def join() -> None:
            try:
                membership.join()
            except FederationError as error:
                raised.append(str(error))

        joining = threading.Thread(target=join)
        joining.start()
        wait_until(lambda: member.connection.requests)
        membership.leave(for_good=True)
        joining.join(30)
        assert raised == ["The SuperNode was stopped before it was connected."]


def test_the_pauses_between_tries_grow_to_a_bound() -> None:
    pauses = Timing(first_retry=0.5, retry=5.0).pauses()
    assert [next(pauses) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    for _ in range(2000):
        assert next(pauses) == 5.0


BEATING = Timing(heartbeat=0.01, away=0.3, first_retry=0.01, retry=0.05)


@pytest.mark.parametrize("fault", DOWN)
def test_no_answer_ends_the_heartbeats(member: Node, fault: Fault) -> None:
    with member.started(timing=BEATING) as membership:
        membership.join()
        beats = member.connection.count
        member.connection.down("send-node-heartbeat", fault)
        seen = beats("send-node-heartbeat")
        wait_until(lambda: beats("send-node-heartbeat") > seen + 2)
        before = member.session._alive_at
        member.connection.up()
        wait_until(lambda: member.session._alive_at > before)


def test_a_heartbeat_brings_back_a_node_that_had_lapsed(member: Node) -> None:
    with member.started(timing=BEATING) as membership:
        membership.join()
        member.superlink.lapse(membership.node_id)
        wait_until(lambda: member.online)


def test_a_node_that_was_unregistered_is_logged(
    member: Node, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="flwr.fedstate")
    with member.started(timing=BEATING) as membership:
        membership.join()
        member.superlink.unregister(membership.node_id)
        wait_until(lambda: "does not accept this node's key" in caplog.text)


def test_no_heartbeat_brings_it_back_while_it_rejoins(member: Node) -> None:
    with member.started(timing=BEATING) as membership:
        membership.join()
        online: list[bool] = []

        def look(handle: object) -> httpx.Response:
            handle()  # type: ignore[operator]
            online.append(member.online)
            return handle()  # type: ignore[operator, no-any-return]

        member.connection.plan("register-node", look)
        membership.rejoin()
        wait_until(lambda: member.connection.requests[-1] == "send-node-heartbeat")
        requests = member.connection.requests
        left, back = (
            requests.index("deactivate-node"),
            len(requests) - requests[::-1].index("activate-node"),
        )
        assert set(requests[left:back]) == {"deactivate-node", "register-node", "activate-node"}
        assert online == [False]
        assert member.online


@pytest.mark.parametrize("fault", DOWN)
def test_a_superlink_that_cannot_be_told_still_sees_it_away(member: Node, fault: Fault) -> None:
    """It is told again, and one that refuses counts the node as offline already."""
    with member.started(Patience()) as membership:
        membership.join()
        member.connection.plan("deactivate-node", fault)
        if fault in DOWN[2:5]:  # whoever answers so counts it as offline
            member.superlink.lapse(membership.node_id)
        membership.rejoin()
        assert member.online
        told = member.connection.count("deactivate-node")
        assert told == (1 if fault in DOWN[2:5] else 2)
