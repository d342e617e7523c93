"""Objects that came with their message are kept for its step, within a bound."""

from fedstate.supernode.brought import Brought


def test_objects_are_taken_once_and_by_their_run() -> None:
    brought = Brought()
    brought.keep(1, {"a": b"1", "b": b"22"})
    assert brought.take(2, ["a", "b"]) == {}
    assert brought.take(1, ["b", "c"]) == {"b": b"22"}
    assert brought.take(1, ["b", "a"]) == {"a": b"1"}
    assert brought.take(1, ["a"]) == {}


def test_what_has_been_here_longest_goes_first() -> None:
    brought = Brought(most_bytes=10)
    brought.keep(1, {"a": b"1234", "b": b"1234"})
    brought.keep(1, {"a": b"1234"})  # as when a message comes again
    brought.keep(2, {"c": b"12"})
    assert brought.take(1, ["a", "b"]) == {"a": b"1234", "b": b"1234"}
    brought.keep(1, {"a": b"1234", "b": b"1234", "d": b"123"})
    assert brought.take(2, ["c"]) == {}
    assert brought.take(1, ["a", "b", "d"]) == {"b": b"1234", "d": b"123"}
    brought.keep(1, {"e": b"x" * 11})
    assert brought.take(1, ["e"]) == {}


def test_a_run_that_has_ended_leaves_nothing() -> None:
    brought = Brought(most_bytes=4)
    brought.keep(1, {"a": b"12"})
    brought.keep(2, {"a": b"12"})
    brought.forget(1)
    brought.keep(3, {"a": b"34"})
    assert brought.take(1, ["a"]) == {}
    assert brought.take(2, ["a"]) == {"a": b"12"}, "what was forgotten makes room"
