"""The log of steps: what is in a row, what a run's chain remembers, and what goes."""

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from tests.unit.store.logged import NODE, add_run, commit, fail, rows

from fedstate.store.errors import StoreDamagedError
from fedstate.store.logged_store import Failure
from fedstate.store.node_store import NodeStore
from fedstate.store.step_log import Attempt, Chain
from fedstate.store.values import CHUNK_BYTES, Value
from fedstate.witness import breaks, chunk_digests, genesis, record_digest, state_digest
from fedstate.witness.record import COMMITTED, FAILED, REASON_CHARACTERS, StepRecord

RUN, OTHER = 2**64 - 1, 7


@pytest.fixture(params=[None, b"k" * 32], ids=["plain", "encrypted"])
def key(request: pytest.FixtureRequest) -> bytes | None:
    found: bytes | None = request.param
    return found


@pytest.fixture
def store(tmp_path: Path, key: bytes | None) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path, key=key)) as opened:
        add_run(opened, RUN)
        add_run(opened, OTHER)
        yield opened


def test_a_row_says_what_the_step_came_to(store: NodeStore) -> None:
    blobs = [bytes(CHUNK_BYTES) + b"1", b"2" * 10]
    handed_out, output_at, before = b"\1" * 32, time.monotonic(), time.time()
    store.receive("m1", RUN, Value(b"message"))
    value = Value(b"header", blobs, b"records")
    given = Attempt(NODE, "3", "train", handed_out, 0.5, output_at)
    done = store.commit("m1", RUN, value, Value(b"reply"), given)
    record = rows(store)[0].record
    assert (record.sequence, record.run_sequence) == (1, 1)
    assert (record.run_id, record.series_id, record.node_id) == (RUN, RUN, NODE)
    assert (record.store_id, record.opening) == (store.store_id, store.opening)
    assert (record.group_id, record.action, record.message_id) == ("3", "train", "m1")
    assert record.handed_out == handed_out
    assert record.stored == done.digest
    assert record.stored == state_digest(b"records", map(chunk_digests, blobs))
    assert record.generation == done.generation == store.generation
    assert (record.outcome, record.reason) == (COMMITTED, "")
    assert record.state_bytes == record.new_bytes == value.size
    assert record.app_seconds == 0.5
    assert 0 < record.commit_seconds <= time.monotonic() - output_at
    assert before <= record.time <= time.time()
    assert record.previous == genesis(store.store_id, RUN)
    assert record.previous_of_store == b""


def test_the_digest_of_a_state_is_the_same_with_and_without_encryption(tmp_path: Path) -> None:
    digests = set()
    for key in (None, b"1" * 32, b"2" * 32):
        with closing(NodeStore(tmp_path / str(key), key=key)) as store:
            add_run(store, RUN)
            digests.add(commit(store, RUN, 1, b"layer" * CHUNK_BYTES))
            held = store.held(RUN, lambda header: header.removeprefix(b"header"))
            digests.add(held.digest)
            state = store.state(RUN)
            assert state is not None
            digests.add(state_digest(b"state 1", state[1]))
    assert len(digests) == 1


def test_only_what_the_store_did_not_have_is_new(store: NodeStore) -> None:
    commit(store, RUN, 1, b"a" * 5000, b"b" * 5000)
    commit(store, RUN, 2, b"a" * 5000, b"c" * 5000)
    second = rows(store)[1].record
    assert second.state_bytes - second.new_bytes == 5000


def test_a_failure_stores_nothing_and_says_what_is_still_there(store: NodeStore) -> None:
    fail(store, RUN, 1)
    digest = commit(store, RUN, 2, b"a" * 5000)
    generation = store.generation
    fail(store, RUN, 3, "\udcff" + "x" * 2 * REASON_CHARACTERS)
    handed_out = b"\5" * 32
    store.record_failure("m4", Failure(RUN, "no", Attempt(handed_out=handed_out)))
    first, _, third, fourth = (each.record for each in rows(store))
    assert (first.outcome, first.reason, first.stored) == (FAILED, "It failed.", b"")
    assert third.reason == "?" + "x" * (REASON_CHARACTERS - 1)
    assert (third.handed_out, third.stored) == (b"", digest)
    assert (third.state_bytes, third.new_bytes) == (0, 0)
    assert third.generation == generation == store.generation
    assert fourth.stored == fourth.handed_out == handed_out


def test_the_rows_of_each_run_and_of_the_store_are_chained(
    store: NodeStore, key: bytes | None
) -> None:
    for number in range(1, 4):
        commit(store, RUN, number)
        fail(store, OTHER, number)
    directory, first_opening = store.directory, store.opening
    store.close()
    with closing(NodeStore(directory, key=key)) as again:
        commit(again, RUN, 4)
        assert again.opening != first_opening
        chain = again.chains()[0]
        everything = rows(again)
        for run_id, length in ((RUN, 4), (OTHER, 3)):
            assert list(breaks(rows(again, run_id), run_id=run_id, length=length)) == []
        assert rows(again, RUN, OTHER) == everything
        assert again.rows_after(2, [], 3) == everything[2:5]
    assert chain == Chain(RUN, True, 4, 0, b"", everything[-1].digest)
    assert [each.record.sequence for each in everything] == list(range(1, 8))
    for one, following in pairwise(everything):
        assert following.record.previous_of_store == record_digest(one.row)


def test_the_newest_attempt_of_a_message_has_the_receipt(store: NodeStore) -> None:
    assert store.receipt(f"{RUN}-1") is None
    fail(store, RUN, 1)
    failed = store.receipt(f"{RUN}-1")
    assert failed is not None
    assert (failed.record.outcome, failed.signature) == (FAILED, b"")
    commit(store, RUN, 1)
    committed = store.receipt(f"{RUN}-1")
    assert committed is not None
    assert (committed.record.outcome, committed.signature) == (COMMITTED, b"signature")
    assert [each.signature for each in rows(store)] == [b"", b"signature"]


def test_a_commit_that_fails_leaves_no_row(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.receive("m1", RUN, Value(b"message"))

    def broken(point: str) -> None:
        raise ValueError(point)

    with monkeypatch.context() as patch:
        patch.setattr("fedstate.store.store_file.reach", broken)
        with pytest.raises(ValueError, match="store-write"):
            store.commit("m1", RUN, Value(b"c"), Value(b"r"))
    assert rows(store) == []
    commit(store, RUN, 2)
    assert rows(store)[0].record.run_sequence == 1


def test_a_bounded_log_keeps_the_last_rows_and_an_anchor(store: NodeStore) -> None:
    for number in range(1, 6):
        commit(store, RUN, number)
    whole = rows(store, RUN)
    store.keep_log = 3
    commit(store, RUN, 6)
    commit(store, OTHER, 1)
    assert rows(store, RUN)[:2] == whole[3:]
    chain = store.held(RUN).chain
    assert (chain.length, chain.pruned, chain.anchor) == (6, 3, whole[2].digest)
    assert (
        list(breaks(rows(store, RUN), run_id=RUN, pruned=3, anchor=chain.anchor, length=6)) == []
    )
    assert store.receipt(f"{RUN}-3") is None


def test_rows_go_with_their_run_and_its_chain_goes_on(
    store: NodeStore, key: bytes | None
) -> None:
    commit(store, RUN, 1)
    commit(store, RUN, 2)
    commit(store, OTHER, 1)
    head = rows(store, RUN)[-1].digest
    store.finish_run(RUN)
    store.free_run(RUN)
    assert rows(store, RUN) == []
    assert len(rows(store)) == 1
    assert store.held(RUN).chain == Chain(RUN, True, 2, 2, head, head)
    assert not store.held(RUN).present
    # A SuperLink that was mistaken sends a message of it again: nothing begins anew.
    add_run(store, RUN)
    commit(store, RUN, 3)
    (row,) = rows(store, RUN)
    assert (row.record.sequence, row.record.run_sequence) == (4, 3)
    assert row.record.previous == head
    store.close()
    NodeStore(store.directory, key=key).close()  # whose check finds nothing


def test_the_rows_of_refused_messages_go_with_time(store: NodeStore) -> None:
    refused = Failure(99, "The FAB could not be verified.", Attempt(NODE))
    store.record_failure("m1", refused)
    (row,) = rows(store)
    assert (row.record.run_id, row.record.series_id) == (99, 0)
    assert store.held(99).chain.complete
    commit(store, RUN, 1)
    assert not store.free_stray(98)
    assert store.free_stray(99)
    assert not store.free_stray(99)
    assert [each.record.run_id for each in rows(store)] == [RUN]


def test_a_run_that_is_older_than_the_log_says_so(store: NodeStore, key: bytes | None) -> None:
    store.close()
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("DELETE FROM step_chain")
    with closing(NodeStore(store.directory, key=key)) as older:
        assert older.chains() == []
        commit(older, RUN, 1)
        add_run(older, 8)
        commit(older, 8, 1)
        assert [(each.run_id, each.complete) for each in older.chains()] == [
            (RUN, False),
            (8, True),
        ]


def test_an_encrypted_log_does_not_show_what_is_in_it(
    store: NodeStore, key: bytes | None
) -> None:
    fail(store, RUN, 1, "a patient's name")
    store.compact()
    store.close()
    assert (b"a patient's name" in store.path.read_bytes()) == (key is None)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE step_log SET record = x'00' WHERE sequence = 2",
        "UPDATE step_log SET run_sequence = 9 WHERE sequence = 3",
        "UPDATE step_log SET sequence = 9 WHERE sequence = 2",
        "UPDATE step_log SET message = x'00' WHERE sequence = 2",
        "UPDATE step_log SET chain_id = 2 WHERE sequence = 3",
        "UPDATE step_chain SET length = 2 WHERE length = 3",
        "UPDATE step_chain SET complete = 0",
        "UPDATE step_chain SET head = anchor",
    ],
)
def test_a_changed_row_is_noticed(store: NodeStore, key: bytes | None, change: str) -> None:
    for number in range(1, 4):
        commit(store, RUN, number)
    store.close()
    with closing(sqlite3.connect(store.path)) as connection, connection:
        assert connection.execute(change).rowcount > 0
    with pytest.raises(StoreDamagedError, match=r"does not have its checksum|is missing"):
        NodeStore(store.directory, key=key)


def test_a_step_costs_the_same_however_many_there_were(store: NodeStore) -> None:
    """Neither more statements, nor more bytes, at row 1000 than at row 10."""
    statements: list[str] = []

    def cost(number: int) -> tuple[int, int]:
        statements.clear()
        store._db.set_trace_callback(statements.append)
        commit(store, RUN, number)
        store._db.set_trace_callback(None)
        return len(statements), len(rows(store, RUN)[-1].row)

    with store._transaction():  # one commit for all of them
        for number in range(1, 10):
            row_of(store, number)
    tenth = cost(10)
    with store._transaction():
        for number in range(11, 1000):
            row_of(store, number)
    at_1000 = cost(1000)
    assert at_1000[0] == tenth[0]
    # Numbers of two bytes more, at most, wherever there is one.
    assert abs(at_1000[1] - tenth[1]) <= 10


def test_no_statement_of_a_step_or_a_page_scans_the_log(store: NodeStore) -> None:
    """So that each costs the same however many rows there are, of this run and of others."""
    statements: list[str] = []
    store.keep_log = 3
    store._db.set_trace_callback(statements.append)
    for number in range(1, 6):
        commit(store, RUN, number)
        fail(store, OTHER, number)
    store._db.set_trace_callback(None)
    with store._reading() as now:
        now.db.set_trace_callback(statements.append)
        now.log.after(2, [RUN], 10)
        now.log.after(2, [], 10)
        now.log.of_message(f"{RUN}-5")
        list(now.log.of_run(RUN))
        now.log.newest()
        now.db.set_trace_callback(None)
    about = {each for each in statements if "step_log" in each}
    assert len(about) > 10
    for statement in about:
        for *_, line in store._db.execute(f"EXPLAIN QUERY PLAN {statement}"):
            assert not line.startswith("SCAN step_log"), (statement, line)
            assert "TEMP B-TREE" not in line, (statement, line)


def row_of(store: NodeStore, number: int) -> None:
    failure = Failure(RUN, "It failed.", Attempt(NODE, str(number), "train", b"\1" * 32))
    store._log_failure(hashlib.sha256(str(number).encode()).hexdigest(), failure)


def test_a_row_is_decoded_as_it_was_encoded(store: NodeStore) -> None:
    commit(store, RUN, 1)
    (receipt,) = rows(store)
    assert StepRecord.decode(receipt.record.encode()) == receipt.record
