"""The polling Grid over a Grid whose replies come when the test says, by the test's clock."""

import random
from collections.abc import Iterable
from typing import Any

import pytest
from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import http_grid

from fedstate.flower.pull_backoff import patch_pull_backoff
from fedstate.grids.polling import NotifiedGrid, PollingGrid
from fedstate.grids.wrapper import GridWrapper


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


class Replies(GridWrapper):
    """Answers message `n` after `delays[n]` seconds; a delay of None refuses the message."""

    innermost = property(lambda self: self)  # nothing is passed on

    def __init__(self, clock: Clock, *delays: float | None) -> None:
        self.clock = clock
        self.delays = delays
        self.pulls: list[float] = []
        self.began = clock.now

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        self.sent = list(messages)
        ids = ["" if delay is None else str(n) for n, delay in enumerate(self.delays)]
        for message, message_id in zip(self.sent, ids, strict=True):
            message.metadata.__dict__["_message_id"] = message_id
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self.pulls.append(self.clock.now - self.began)
        for message_id in list(message_ids):
            delay = self.delays[int(message_id)]
            assert delay is not None
            if self.clock.now >= self.began + delay:
                yield Message(RecordDict(), reply_to=self.sent[int(message_id)])


class NotifiedReplies(Replies):
    """The same at a SuperLink with notifications."""

    # Like a SuperLink that has counted replies of other runs.
    before = 1_000_000

    def wait_for_replies(self, seen: int, seconds: float, until: int = 0) -> int | None:
        deadline = self.clock.now + seconds
        while self.count() < until if until else self.count() == seen:
            ahead = [at for at in self.arrivals() if at > self.clock.now]
            if not ahead or min(ahead) > deadline:
                self.clock.now = deadline
                break
            self.clock.now = min(ahead)
        return self.count()

    def arrivals(self) -> list[float]:
        return [self.began + delay for delay in self.delays if delay is not None]

    def count(self) -> int:
        return self.before + sum(at <= self.clock.now for at in self.arrivals())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    # Of the task that a Message is created in; flwr's properties have no way back to unset.
    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    random.seed(0)
    return Clock()


def exchange(inner: Replies, timeout: float | None = None) -> list[str]:
    """Send as many messages as the Grid answers; return whose replies were received."""
    messages = [
        Message(RecordDict(), dst_node_id=n, message_type="train")
        for n in range(len(inner.delays))
    ]
    grid = PollingGrid(inner, clock=inner.clock, sleep=inner.clock.sleep)
    replies = grid.send_and_receive(messages, timeout=timeout)
    return sorted(reply.metadata.reply_to_message_id for reply in replies)


@pytest.mark.parametrize("kind", [Replies, NotifiedReplies])
def test_all_replies_are_collected_and_none_twice(clock: Clock, kind: type[Replies]) -> None:
    inner = kind(clock, 0.0, 0.2, 0.1, 5.0)
    assert exchange(inner) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("delay", [0.1, 0.5, 2.0, 5.0, 60.0])
def test_a_reply_is_taken_in_soon_after_it_came(clock: Clock, delay: float) -> None:
    inner = Replies(clock, delay)
    exchange(inner)
    # 15% of the time that the reply took, with 20% of jitter; a pause is never below 0.05 s and
    # never above 1 s.
    assert inner.pulls[-1] - delay <= 1.2 * min(max(0.15 * delay, 0.05), 1.0)


@pytest.mark.parametrize(("delay", "pulls"), [(2.0, 30), (60.0, 100)])
def test_waiting_costs_few_pulls(clock: Clock, delay: float, pulls: int) -> None:
    inner = Replies(clock, delay)
    exchange(inner)
    assert len(inner.pulls) < pulls


def test_a_notification_ends_the_wait_at_once(clock: Clock) -> None:
    inner = NotifiedReplies(clock, 1.5)
    exchange(inner)
    # The first pull comes before there is a count.
    assert inner.pulls == [0.0, 1.5]


def test_without_a_notification_it_is_pulled_now_and_then(clock: Clock) -> None:
    """An error reply in the place of a lost node comes without."""
    inner = NotifiedReplies(clock, 1000.0)
    exchange(inner, timeout=5.0)
    assert inner.pulls == pytest.approx([0.0, 2.0, 4.0, 5.0])


def test_replies_that_come_one_after_the_other_are_taken_in_together(clock: Clock) -> None:
    inner = NotifiedReplies(clock, 0.5, 0.51, 0.52)
    assert exchange(inner) == ["0", "1", "2"]
    assert inner.pulls == pytest.approx([0.0, 0.52])


def test_a_reply_does_not_wait_for_one_that_takes_much_longer(clock: Clock) -> None:
    inner = NotifiedReplies(clock, 0.2, 2.2)
    assert exchange(inner) == ["0", "1"]
    assert inner.pulls == pytest.approx([0.0, 0.2 * 1.15, 2.2])


@pytest.mark.parametrize("kind", [Replies, NotifiedReplies])
def test_at_the_timeout_what_has_come_is_returned(clock: Clock, kind: type[Replies]) -> None:
    inner = kind(clock, 0.0, 1000.0)
    assert exchange(inner, timeout=0.3) == ["0"]
    assert clock.now - inner.began == pytest.approx(0.3)


def test_a_refused_message_is_not_waited_for(clock: Clock) -> None:
    inner = Replies(clock, 0.0, None)
    assert exchange(inner) == ["0"]


def test_no_messages_need_no_pull(clock: Clock) -> None:
    inner = Replies(clock)
    assert exchange(inner) == []
    assert inner.pulls == []


def test_only_a_grid_that_is_notified_is_waited_at(clock: Clock) -> None:
    assert isinstance(NotifiedReplies(clock), NotifiedGrid)
    assert not isinstance(Replies(clock), NotifiedGrid)


def test_only_the_use_of_flwrs_own_grid_changes_flwr(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = http_grid
    original = module.pull_objects
    monkeypatch.setattr(module, "pull_objects", original)
    exchange(Replies(clock, 0.0))
    grid = http_grid.HttpGrid(token="token")
    PollingGrid(grid)
    assert module.pull_objects is original
    patch_pull_backoff(grid)
    assert module.pull_objects is not original
