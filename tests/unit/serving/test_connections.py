"""Who is admitted, and which connection gives way: rules without sockets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.serving.connections import Connection, Connections
from fedstate.serving.limits import Limits

LIMITS = Limits(
    connections=6, strangers=4, strangers_of_peer=3, known_of_one=6, head_seconds=10.0
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Held:
    """Connections whose closing is noted."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.clock = Clock()
        self.table = Connections(limits, self.clock)
        self.closed: list[str] = []

    def open(self, name: str, peer: str = "peer") -> Connection:
        connection = self.table.admit(peer)
        assert connection is not None
        connection.closed_by(lambda: self.closed.append(name))
        self.clock.now += 0.001
        return connection


def test_a_peers_longest_idle_stranger_gives_way_to_its_next() -> None:
    held = Held()
    first = held.open("first")
    held.open("second")
    held.open("third")
    first.begin()
    first.end()  # now it is the one that was idle for the shortest time
    held.open("fourth")
    assert held.closed == ["second"]
    held.open("from elsewhere", "other")
    assert held.closed == ["second"], "it has a share of its own"


def test_of_all_strangers_the_longest_idle_gives_way() -> None:
    held = Held()
    for number in range(4):
        held.open(f"of {number}", f"peer {number}")
    held.open("new", "new")
    assert held.closed == ["of 0"]
    assert held.table.strangers == 4


def test_one_with_a_request_under_way_gives_way_last() -> None:
    held = Held()
    asking = held.open("asking")
    asking.begin()
    held.open("idle 1")
    held.open("idle 2")
    for number in range(3, 6):
        held.open(f"idle {number}")
    assert held.closed == ["idle 1", "idle 2", "idle 3"]
    busy = Held()
    for number in range(3):
        busy.open(f"asking {number}").begin()
    busy.open("new")
    assert busy.closed == ["asking 0"], "and yet, if all are asking"


def known(held: Held, name: str) -> Connection:
    """Open a connection, show a credential on it, and leave its request under way."""
    connection = held.open(name)
    connection.begin()
    connection.verified("somebody")
    return connection


def test_who_has_shown_a_credential_gives_way_after_all_strangers_and_only_idle() -> None:
    held = Held()
    asking = [known(held, f"known {number}") for number in range(4)]
    for number in range(1, 4):
        held.open(f"stranger {number}")
    assert held.closed == ["stranger 1"], "six may be open in all"
    asking += [known(held, "known 4"), known(held, "known 5")]
    assert held.closed == ["stranger 1", "stranger 2", "stranger 3"]
    assert held.table.admit("peer") is None, "there is nobody who could give way"
    assert len(held.table) == 6
    for each in asking[2], asking[1]:
        each.end()
        held.clock.now += 0.001
    held.open("new")
    held.open("newer")
    assert held.closed[3:] == ["known 2", "new"], "a stranger again, once there is one"


def test_that_there_is_no_place_is_warned_of_once_in_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held = Held(replace(LIMITS, connections=1))
    known(held, "known")
    for _ in range(3):
        assert held.table.admit("peer") is None
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert "--max-connections" in caplog.text
    held.clock.now += 61
    held.table.admit("peer")
    assert len(caplog.records) == 2


def test_a_connection_on_which_no_request_begins_is_overdue() -> None:
    held = Held()
    silent = held.open("silent")
    waiting = held.open("waiting")
    waiting.verified("somebody")
    waiting.begin()
    done = held.open("done")
    done.verified("somebody")
    held.clock.now += 9
    done.begin()
    done.end()
    held.clock.now += 2
    held.table.close_overdue()
    assert held.closed == ["silent"]
    held.clock.now += 1000
    held.table.close_overdue()
    assert held.closed == ["silent", "done"], "a request may take as long as it likes"
    silent.gone()
    silent.drop()
    assert len(held.table) == 1


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["open", "begin", "end", "verified", "gone", "drop"]),
        st.integers(0, 7),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=80,
)


@given(OPERATIONS)
def test_whatever_happens_the_bounds_hold(operations: list[tuple[str, int, str]]) -> None:
    held = Held()
    opened: list[Connection] = []
    dropped: set[Connection] = set()
    for operation, index, peer in operations:
        if operation == "open":
            busy = sum(
                each.known and each.under_way > 0 for each in opened if each not in dropped
            )
            connection = held.table.admit(peer)
            assert (connection is None) == (busy == LIMITS.connections)
            if connection is not None:
                opened.append(connection)
                connection.closed_by(lambda c=connection: dropped.add(c))  # type: ignore[misc]
        elif opened:
            connection = opened[index % len(opened)]
            if operation == "end" and not connection.under_way:
                continue
            getattr(connection, operation)(*([peer] if operation == "verified" else []))
            if operation == "gone":
                dropped.add(connection)
        left = [each for each in opened if each not in dropped]
        strangers = [each for each in left if not each.known]
        assert len(held.table) == len(left) <= LIMITS.connections
        assert held.table.strangers == len(strangers) <= LIMITS.strangers
        assert all(len([e for e in left if e.who == n]) <= LIMITS.known_of_one for n in "abc")
        for name in "abc":
            assert sum(each.peer == name for each in strangers) <= LIMITS.strangers_of_peer


def test_a_credential_keeps_so_many_connections_and_no_more() -> None:
    held = Held(replace(LIMITS, known_of_one=2))
    connections = [held.open(f"of one {number}") for number in range(3)]
    for connection in connections:
        connection.verified("one")
    assert [each.known for each in connections] == [True, True, False]
    other = held.open("another's")
    other.verified("another")
    assert other.known
    connections[0].drop()
    connections[2].verified("one")
    assert connections[2].known, "one of its places is free again"
    assert held.table.strangers == 0
