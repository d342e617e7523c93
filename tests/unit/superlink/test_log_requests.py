"""Nodes are asked once, their pages come in order, and nobody waits for one that says nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fedstate.exchange.messages import PushLogRequest
from fedstate.superlink import log_requests
from fedstate.superlink.log_requests import LogRequests

PATIENCE = 60.0


class Nodes:
    """Nodes that wait for messages and answer what they are asked."""

    def __init__(self) -> None:
        self.woken = threading.Semaphore(0)
        self.requests = LogRequests(self.woken.release)

    @contextmanager
    def asking(
        self, *node_ids: int, seconds: float = PATIENCE
    ) -> Iterator[list[tuple[int, PushLogRequest | None]]]:
        """Ask on another thread; the list is complete after the block."""
        answers: list[tuple[int, PushLogRequest | None]] = []

        def ask() -> None:
            answers.extend(self.requests.ask(node_ids, [7], seconds))

        thread = threading.Thread(target=ask)
        thread.start()
        assert self.woken.acquire(timeout=PATIENCE)
        yield answers
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def push(self, node_id: int, request_id: str, *, last: bool) -> bool:
        page = PushLogRequest(request_id=request_id, last=last)
        return self.requests.receive(node_id, page, PATIENCE)


def test_a_node_is_asked_once_and_its_pages_come_in_their_order() -> None:
    nodes = Nodes()
    with nodes.asking(1) as answers:
        (asked,) = nodes.requests.due(1)
        assert list(asked.run_ids) == [7]
        assert asked.held
        assert nodes.requests.due(1) == [], "it has been handed out"
        assert nodes.requests.due(2) == [], "another node"
        assert nodes.push(1, asked.request_id, last=False)
        assert nodes.push(1, asked.request_id, last=True)
    assert [(node_id, page and page.last) for node_id, page in answers] == [(1, False), (1, True)]


def test_what_may_have_been_lost_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_requests, "_AGAIN_SECONDS", 0.0)
    nodes = Nodes()
    with nodes.asking(1):
        (first,) = nodes.requests.due(1)
        assert nodes.requests.due(1) == [first]
        assert nodes.push(1, first.request_id, last=False)
        assert nodes.requests.due(1) == [], "it has arrived"
        assert nodes.push(1, first.request_id, last=True)


def test_a_node_that_says_nothing_is_given_up_and_the_others_are_not() -> None:
    nodes = Nodes()
    with nodes.asking(1, 2, seconds=0.5) as answers:
        (asked,) = nodes.requests.due(2)
        assert nodes.push(2, asked.request_id, last=True)
    assert [(node_id, page is not None) for node_id, page in answers] == [(2, True), (1, False)]


def test_pages_that_nobody_wants_are_refused() -> None:
    nodes = Nodes()
    assert not nodes.push(1, "made up", last=True)
    with nodes.asking(1) as answers:
        (asked,) = nodes.requests.due(1)
        assert not nodes.push(2, asked.request_id, last=True), "nobody has asked that node"
        assert nodes.push(1, asked.request_id, last=True)
    assert len(answers) == 1
    assert not nodes.push(1, asked.request_id, last=True), "that is over"


def test_a_node_waits_until_its_pages_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_requests, "_MOST_PAGES", 1)
    nodes = Nodes()
    pages = nodes.requests.ask([1], [7], PATIENCE)
    taken: list[object] = []
    asked_for = threading.Thread(target=lambda: taken.append(next(pages)))
    asked_for.start()
    assert nodes.woken.acquire(timeout=PATIENCE)
    (asked,) = nodes.requests.due(1)
    assert nodes.push(1, asked.request_id, last=False)
    asked_for.join(PATIENCE)
    assert len(taken) == 1
    assert nodes.push(1, asked.request_id, last=False), "there is room for one"
    page = PushLogRequest(request_id=asked.request_id)
    assert not nodes.requests.receive(1, page, seconds=0.01), "and for no other"
    pages.close()  # type: ignore[attr-defined]  # it is a generator
    assert not nodes.push(1, asked.request_id, last=True)


def test_only_nodes_that_wait_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes()
    assert nodes.requests.answering() == set()
    nodes.requests.due(1)
    assert nodes.requests.answering() == {1}
    monkeypatch.setattr(log_requests, "_WAITING_SECONDS", 0.0)
    assert nodes.requests.answering() == set()
