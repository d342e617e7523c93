"""Runs that are freed by the SuperNode that has their store open, because somebody asks it."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.small_disk import fill, small_disk
from tests.waiting import wait_until

from fedstate.store import requests
from fedstate.store.errors import StoreError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.requests import answer_requests, free_runs
from fedstate.store.retention import Choice, Freed, free
from fedstate.store.room import RESERVE_BYTES
from fedstate.store.values import Value


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path / "state", reserve=RESERVE_BYTES)) as opened:
        add_runs(opened)
        yield opened


def add_runs(store: NodeStore) -> None:
    for number in (1, 2):
        run = StoredRun(run_id=number, series_id=number, fab_hash="fab", finished_at=None)
        store.add_run(run, Value(b"record"), Value(b"fab"), Value(b"", [b"x" * 2_000_000]))
    store.finish_run(1)


@contextmanager
def answering(store: NodeStore, answer: Callable[[Choice], Freed]) -> Iterator[None]:
    """Look for requests in the block, as a SuperNode does."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            answer_requests(store.directory, answer)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def names(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir() if "free-" in each.name}


def test_a_store_that_nobody_has_open_is_freed_at_once(store: NodeStore) -> None:
    store.close()
    assert free_runs(store.directory, Choice(finished=True)).runs == ["1"]


def test_the_supernode_frees_what_is_asked_for(store: NodeStore) -> None:
    with answering(store, lambda choice: free(store, choice)):
        freed = free_runs(store.directory, Choice(runs=["1"]), patience=60)
        assert freed.runs == ["1"]
        assert free_runs(store.directory, Choice(finished=True, older_than=1.5)).runs == []
        with pytest.raises(StoreError, match="Run 2 is still going"):
            free_runs(store.directory, Choice(runs=["2"]))
    assert [run.run_id for run in store.runs()] == [2]
    assert names(store.directory) == set()


def test_a_supernode_that_does_not_answer_is_named_and_the_request_withdrawn(
    store: NodeStore,
) -> None:
    with pytest.raises(StoreError, match=r"has not answered within 0.1 seconds, and nothing"):
        free_runs(store.directory, Choice(finished=True), patience=0.1)
    assert names(store.directory) == set()


def test_what_nobody_waits_for_any_longer_is_not_done(store: NodeStore) -> None:
    request = store.directory / "0.free-request"
    request.write_text('{"runs": [], "finished": true, "older_than": null}')
    (store.directory / "1.free-answer").write_text("{}")
    asked: list[Choice] = []

    def answer(choice: Choice) -> Freed:
        asked.append(choice)
        return Freed([], 0)

    answer_requests(store.directory, answer)
    assert asked == []
    assert names(store.directory) == set()


def test_it_works_though_the_disk_is_full(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "size=24m") as disk,
        closing(NodeStore(disk / "state", reserve=RESERVE_BYTES)) as store,
    ):
        add_runs(store)
        fill(disk / "filler")
        with answering(store, lambda choice: free(store, choice)):
            freed = free_runs(store.directory, Choice(finished=True), patience=60)
        assert freed.runs == ["1"]
        wait_until(lambda: names(store.directory) == set())


def test_an_answer_for_which_there_is_no_room_ends_the_wait_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[Choice] = []
    with small_disk(tmp_path / "disk", "size=24m") as disk:

        def act(choice: Choice) -> Freed:
            done.append(choice)
            fill(disk / "filler")
            return Freed(["1"], 0)

        with closing(NodeStore(disk / "state", reserve=0)) as store:
            with (
                answering(store, act),
                pytest.raises(StoreError, match=r"cannot write its answer there, and nothing"),
            ):
                free_runs(store.directory, Choice(finished=True), patience=60)
            assert names(store.directory) == set()
    assert len(done) == 1
    assert "its disk is full" in caplog.text


def test_what_was_answered_meanwhile_is_not_done_again(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has asked reads the answer while the request is looked at once more."""
    done: list[Choice] = []
    still_asked = requests._still_asked

    def slowly(request: Path, of_kind: Callable[..., object]) -> object:
        asked = still_asked(request, of_kind)
        if done and asked is not None:
            request.unlink()
            request.with_suffix(".free-answer").unlink()
        return asked

    def act(choice: Choice) -> Freed:
        done.append(choice)
        return Freed([], 0)

    request = store.directory / "asked.free-request"
    lock = requests._write(request, {"runs": ["1"], "finished": False, "older_than": None})
    monkeypatch.setattr(requests, "_still_asked", slowly)
    try:
        for _ in range(2):
            answer_requests(store.directory, act)
    finally:
        os.close(lock)
    assert len(done) == 1


def test_a_request_that_is_taken_back_while_it_is_read_is_not_done(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = store.directory / "asked.free-request"
    lock = requests._write(request, {"runs": ["1"], "finished": False, "older_than": None})
    flock = fcntl.flock

    def take_back(file: int, operation: int) -> None:
        request.unlink()
        flock(file, operation)

    def act(choice: Choice) -> Freed:
        done.append(choice)
        return Freed([], 0)

    monkeypatch.setattr(fcntl, "flock", take_back)
    done: list[Choice] = []
    try:
        answer_requests(store.directory, act)
    finally:
        os.close(lock)
    assert done == []
    assert names(store.directory) == set()
