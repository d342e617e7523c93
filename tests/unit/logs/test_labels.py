"""Labels hold in a block, and in what is begun in it."""

import contextvars
import threading

from fedstate.logs.labels import current, labelled, note_labels, of_each_request


def test_labels_hold_in_their_block() -> None:
    assert current() == {}
    with labelled(run=7, round="1"):
        with labelled(round=2, message="ab"):
            assert current() == {"run": "7", "round": "2", "message": "ab"}
        assert current() == {"run": "7", "round": "1"}
    assert current() == {}


def test_a_thread_of_its_own_has_none() -> None:
    seen = []
    with labelled(run=7):
        thread = threading.Thread(target=lambda: seen.append(current()))
        thread.start()
        thread.join()
    assert seen == [{}]


def test_what_a_copy_of_the_context_notes_all_have() -> None:
    with of_each_request():
        contextvars.copy_context().run(note_labels, run=7)
        contextvars.copy_context().run(note_labels, node=2)
        assert current() == {"run": "7", "node": "2"}
    with of_each_request():
        assert current() == {}


def test_without_a_block_nothing_is_noted() -> None:
    contextvars.Context().run(note_labels, run=7)
    assert contextvars.Context().run(current) == {}
    assert current() == {}
