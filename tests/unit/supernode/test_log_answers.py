"""What a node answers who asks for its log: pages of rows, and what it holds."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ArrayRecord, Context, RecordDict
from tests.unit.store.logged import add_run, attempt, commit, rows
from tests.waiting import wait_until

from fedstate.flower.errors import UnreachableError
from fedstate.flower.log_pages import LogPage, LogRequest
from fedstate.flower.stored_values import digest_of, encode_context
from fedstate.large.context import SplitContext
from fedstate.store.node_store import NodeStore
from fedstate.store.values import CHUNK_BYTES, Value
from fedstate.supernode import log_answers
from fedstate.supernode.link import Link
from fedstate.supernode.log_answers import LogAnswers
from fedstate.witness import breaks, is_signed_by
from fedstate.witness.receipts import Receipt, sign

KEY = ec.generate_private_key(ec.SECP384R1())


class Asking:
    """A SuperLink that asks, in the place of a link; it may stop wanting pages, or be away."""

    def __init__(self) -> None:
        self.pages: list[LogPage] = []
        self.wanted = 1000
        self.away = False
        self.hold: threading.Event | None = None

    def sign(self, receipt: Receipt) -> Receipt:
        return receipt if receipt.signature else sign(receipt.row, KEY)

    def push_log(self, page: LogPage) -> bool:
        if self.hold is not None:
            assert self.hold.wait(60)
        if self.away:
            raise UnreachableError("The SuperLink cannot be reached.", sent=False)
        self.pages.append(page)
        return len(self.pages) < self.wanted

    @property
    def receipts(self) -> list[Receipt]:
        return [receipt for page in self.pages for receipt in page.receipts]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path)) as opened:
        for run_id in (1, 2):
            add_run(opened, run_id)
        for number in range(1, 6):
            commit(opened, 1, number)
            commit(opened, 2, number)
        yield opened


@pytest.fixture
def asking() -> Asking:
    return Asking()


@pytest.fixture
def answers(store: NodeStore, asking: Asking) -> Iterator[LogAnswers]:
    answers = LogAnswers(store, cast("Link", asking), page_rows=3)
    yield answers
    answers.close()


def ask(answers: LogAnswers, asking: Asking, request: LogRequest) -> list[LogPage]:
    answers.take([request])
    wait_until(lambda: asking.pages and asking.pages[-1].last)
    assert all(page.request_id == request.request_id for page in asking.pages)
    return asking.pages


def test_all_rows_come_in_pages_and_the_last_says_what_is_held(
    store: NodeStore, answers: LogAnswers, asking: Asking
) -> None:
    pages = ask(answers, asking, LogRequest("q"))
    assert [len(page.receipts) for page in pages] == [3, 3, 3, 1]
    assert [each.row for each in asking.receipts] == [each.row for each in rows(store)]
    assert [page.last for page in pages] == [False, False, False, True]
    last = pages[-1]
    assert (last.store_id, last.opening) == (store.store_id, store.opening)
    assert (last.generation, last.problem) == (store.generation, "")
    assert list(last.runs) == [store.held(1), store.held(2)]
    assert [page.runs for page in pages[:-1]] == [(), (), ()]


def test_only_the_runs_that_are_asked_for_come_and_only_what_is_new(
    store: NodeStore, answers: LogAnswers, asking: Asking
) -> None:
    pages = ask(answers, asking, LogRequest("q", (2, 99), after_sequence=6))
    assert [each.record.run_id for each in asking.receipts] == [2, 2]
    assert [each.record.sequence for each in asking.receipts] == [8, 10]
    assert [each.present for each in pages[-1].runs] == [True, False]
    known, unknown = pages[-1].runs
    assert list(breaks(rows(store, 2), run_id=2, length=known.chain.length)) == []
    assert unknown.chain.length == 0


def test_rows_whose_signature_was_not_noted_are_signed(
    store: NodeStore, answers: LogAnswers, asking: Asking
) -> None:
    store.receive("m", 1, Value(b"message"))
    store.commit("m", 1, Value(b""), Value(b""), attempt())  # and it was killed
    ask(answers, asking, LogRequest("q"))
    assert asking.receipts[0].signature == b"signature"
    assert is_signed_by(asking.receipts[-1], KEY.public_key())


def test_what_is_held_is_read_from_the_store_while_the_one_who_asked_is_told(
    store: NodeStore, answers: LogAnswers, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_answers, "_SIGN_OF_LIFE_SECONDS", -1.0)
    weights = np.random.default_rng(0).bytes(3 * CHUNK_BYTES)
    state = RecordDict({"w": ArrayRecord([np.frombuffer(weights, np.uint8)])})
    context = SplitContext.split(Context(1, 2, {}, state, {}, 1))
    store.set_context(1, 1, encode_context(context))
    store.set_context(2, 2, encode_context(SplitContext.split(Context(2, 2, {}, state, {}, 2))))
    pages = ask(answers, asking, LogRequest("q", (1, 2), held=True))
    assert [each.digest for each in pages[-1].runs] == [digest_of(context)] * 2
    empty = [page for page in pages if not page.receipts]
    assert len(empty) >= 4


def test_nothing_more_is_sent_when_nothing_more_is_wanted(
    answers: LogAnswers, asking: Asking
) -> None:
    asking.wanted = 2
    answers.take([LogRequest("q")])
    wait_until(lambda: not answers._asked)
    assert len(asking.pages) == 2
    assert not asking.pages[-1].last


def test_a_request_that_comes_twice_is_answered_once(answers: LogAnswers, asking: Asking) -> None:
    asking.hold = threading.Event()
    answers.take([LogRequest("q"), LogRequest("q")])
    answers.take([LogRequest("q")])
    asking.hold.set()
    wait_until(lambda: not answers._asked)
    assert [page.last for page in asking.pages] == [False, False, False, True]


def test_a_superlink_that_is_away_is_no_failure(
    answers: LogAnswers, asking: Asking, log: pytest.LogCaptureFixture
) -> None:
    asking.away = True
    answers.take([LogRequest("q")])
    wait_until(lambda: not answers._asked)
    assert "A request for the node's log is not answered. The SuperLink" in log.text
    asking.away = False
    ask(answers, asking, LogRequest("again"))


def test_a_damaged_state_is_said(store: NodeStore, answers: LogAnswers, asking: Asking) -> None:
    store.set_context(1, 1, Value(b"\0" * 8, [b"x" * 10]))
    store._db.execute("UPDATE chunk SET data = x'00'")
    pages = ask(answers, asking, LogRequest("q", held=True))
    assert "is damaged" in pages[-1].problem
    assert pages[-1].runs == []


def test_after_the_end_nothing_is_taken(answers: LogAnswers, asking: Asking) -> None:
    answers.close()
    answers.take([LogRequest("q")])
    assert asking.pages == []
