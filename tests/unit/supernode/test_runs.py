"""What a node knows of which runs go on."""

from fedstate.store.node_store import StoredRun
from fedstate.supernode.runs import Runs


def test_what_the_store_has_is_known_from_the_start() -> None:
    runs = Runs([StoredRun(1, 7, "a", None), StoredRun(2, 7, "a", 1000.0)])
    assert runs.going() == [1]
    assert runs.has_ended(2)
    assert not runs.has_ended(1)
    assert runs.unnoted() == [], "the store knows it"


def test_a_run_ends_once_and_the_store_is_told_once() -> None:
    runs = Runs()
    runs.begin(1)
    assert runs.end(1)
    assert not runs.end(1)
    assert runs.unnoted() == [1]
    runs.noted(1)
    assert runs.unnoted() == []
    assert runs.has_ended(1)


def test_a_run_that_has_ended_does_not_begin_again() -> None:
    runs = Runs()
    assert runs.end(1), "its end may be heard of before its first message"
    runs.begin(1)
    assert runs.going() == []


def test_of_very_many_runs_the_last_ones_are_named() -> None:
    runs = Runs(StoredRun(run_id, run_id, "a", None) for run_id in range(5000))
    assert runs.going() == list(range(4000, 5000))


def test_what_is_not_known_does_not_go_on() -> None:
    """An executor may keep something of a run that this node's state does not have."""
    runs = Runs()
    runs.begin(1)
    runs.begin(2)
    runs.end(2)
    assert runs.not_going([1, 2, 3]) == [2, 3]
