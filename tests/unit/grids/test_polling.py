"""The polling Grid over a Grid whose replies come when the test says."""

import time
from collections.abc import Iterable

import pytest
from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedstate.grids import polling
from fedstate.grids.polling import PollingGrid
from fedstate.grids.wrapper import GridWrapper

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


class Replies(GridWrapper):
    """Answers message `n` after `delays[n]` seconds; a delay of None refuses the message."""

    innermost = property(lambda self: self)  # nothing is passed on

    def __init__(self, *delays: float | None) -> None:
        self.delays = delays
        self.looks = 0
        self.began = time.monotonic()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        self.sent = list(messages)
        ids = ["" if delay is None else str(n) for n, delay in enumerate(self.delays)]
        for message, message_id in zip(self.sent, ids, strict=True):
            message.metadata.__dict__["_message_id"] = message_id
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self.looks += 1
        passed = time.monotonic() - self.began
        for message_id in list(message_ids):
            delay = self.delays[int(message_id)]
            assert delay is not None
            if passed >= delay:
                yield Message(RecordDict(), reply_to=self.sent[int(message_id)])


def messages(count: int) -> list[Message]:
    return [Message(RecordDict(), dst_node_id=n, message_type="train") for n in range(count)]


def answered(replies: Iterable[Message]) -> list[str]:
    return sorted(reply.metadata.reply_to_message_id for reply in replies)


def test_all_replies_are_collected_and_none_twice() -> None:
    inner = Replies(0.0, 0.2, 0.1)
    assert answered(PollingGrid(inner).send_and_receive(messages(3))) == ["0", "1", "2"]


def test_a_reply_is_taken_in_soon_after_it_came() -> None:
    inner = Replies(0.5)
    PollingGrid(inner).send_and_receive(messages(1))
    # Flower's own Grid looks after 3 s; the bound leaves room for a machine under load.
    assert time.monotonic() - inner.began < 2.5


def test_waiting_costs_few_looks() -> None:
    inner = Replies(2.0)
    PollingGrid(inner).send_and_receive(messages(1))
    assert inner.looks < 30


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a SuperLink tell of the replies that have come to `Replies`."""

    def wait(grid: Replies, seen: int, seconds: float, until: int = 0) -> int:
        end = time.monotonic() + seconds
        while True:
            passed = time.monotonic() - grid.began
            count = 1000 + sum(delay is not None and delay <= passed for delay in grid.delays)
            if (count >= until if until else count != seen) or time.monotonic() > end:
                return count
            time.sleep(0.001)

    monkeypatch.setattr(polling, "wait_for_replies", wait)


def test_replies_that_come_one_after_the_other_are_taken_in_together(told: None) -> None:
    inner = Replies(0.5, 0.51, 0.52)
    assert answered(PollingGrid(inner).send_and_receive(messages(3))) == ["0", "1", "2"]
    # One look before there is a count.
    assert inner.looks == 2


def test_a_reply_does_not_wait_for_one_that_takes_much_longer(told: None) -> None:
    inner = Replies(0.2, 2.2)
    assert answered(PollingGrid(inner).send_and_receive(messages(2))) == ["0", "1"]
    assert inner.looks == 3


def test_at_the_timeout_what_has_come_is_returned() -> None:
    inner = Replies(0.0, 1000.0)
    assert answered(PollingGrid(inner).send_and_receive(messages(2), timeout=0.3)) == ["0"]


def test_a_refused_message_is_not_waited_for() -> None:
    inner = Replies(0.0, None)
    assert answered(PollingGrid(inner).send_and_receive(messages(2))) == ["0"]


def test_no_messages_need_no_look() -> None:
    inner = Replies()
    assert PollingGrid(inner).send_and_receive([]) == []
    assert inner.looks == 0
