"""The check of the log finds rows that were made to fit their checksums, but not each other."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.store.logged import add_run, commit, rows

from fedstate.store.check import check
from fedstate.store.errors import StoreDamagedError
from fedstate.store.node_store import NodeStore
from fedstate.witness.receipts import Receipt

RUN, OTHER = 1, 2


def rewrite(store: NodeStore, sequence: int, receipt: Receipt) -> None:
    """Put another row in the place of one, with the right checksum, as an intruder may."""
    log = store._steps
    chain_id, number, message = store._db.execute(
        "SELECT chain_id, run_sequence, message FROM step_log WHERE sequence = ?", (sequence,)
    ).fetchone()
    store._db.execute(
        "UPDATE step_log SET record = ?, seal = ? WHERE sequence = ?",
        (receipt.row, log._seal(sequence, chain_id, number, message, receipt.row), sequence),
    )


def alter(store: NodeStore) -> None:
    row = rows(store)[1]
    rewrite(store, 2, Receipt(row.record._replace(stored=b"\7" * 32).encode()))


def swap(store: NodeStore) -> None:
    first, second = rows(store)[:2]
    rewrite(store, 1, second)
    rewrite(store, 2, first)


def alter_last(store: NodeStore) -> None:
    row = rows(store)[-1]
    rewrite(store, row.record.sequence, Receipt(row.record._replace(reason="x").encode()))


def take_from_another_run(store: NodeStore) -> None:
    rewrite(store, 2, rows(store, OTHER)[0])


def drop(sequence: int) -> Callable[[NodeStore], None]:
    def do(store: NodeStore) -> None:
        store._db.execute("DELETE FROM step_log WHERE sequence = ?", (sequence,))

    return do


def nonsense(store: NodeStore) -> None:
    rewrite(store, 2, Receipt(b"\xff"))


def shorten_the_whole(store: NodeStore) -> None:
    row = store._rows.one("step_chain", "")
    assert row is not None
    store._rows.put("step_chain", row | {"length": 2})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (alter, "row 3 of the log of run 1 does not follow from the row before it"),
        (swap, "row 1 of the log of run 1 is not in its place"),
        (alter_last, "the log of run 2 does not end with the row that it says"),
        (take_from_another_run, "row 1 of the log of run 1 is of another run"),
        (drop(2), "row 2 of the log of run 1 is missing"),
        (drop(3), "row 3 of the log of run 1 is missing"),
        (nonsense, "row 2 of the log of run 1 is not a row"),
        (shorten_the_whole, "the log of run 1 is newer than the log of the store"),
    ],
)
def test_what_does_not_hold_together_is_named(
    tmp_path: Path, change: Callable[[NodeStore], None], problem: str
) -> None:
    with closing(NodeStore(tmp_path)) as store:
        for run_id in (RUN, OTHER):
            add_run(store, run_id)
        for number in (1, 2, 3):
            commit(store, RUN, number)
        commit(store, OTHER, 1)
        assert check(tmp_path).problems == []
        change(store)
        assert problem in check(tmp_path).problems
    with pytest.raises(StoreDamagedError, match="the log of run"):
        NodeStore(tmp_path)
