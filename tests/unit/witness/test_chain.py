"""What breaks the chain of a run's rows is found, and named for what it is."""

from dataclasses import replace

import pytest
from tests.unit.witness.rows import FIRST, STORE, receipts, rows

from fedstate.witness.chain import Break, Fault, breaks
from fedstate.witness.receipts import Receipt

RUN = FIRST.run_id
CHAIN = receipts(5)


def faults(chain: list[Receipt], **options: object) -> list[Break]:
    return [replace(each, detail="") for each in breaks(chain, run_id=RUN, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_whole_chain_has_no_break(count: int) -> None:
    chain = CHAIN[:count]
    assert faults(chain, length=count, store_id=STORE, node_id=FIRST.node_id) == []


def test_rows_that_are_missing_are_counted() -> None:
    assert faults(CHAIN[2:]) == [Break(Fault.MISSING, 1, 2)]
    assert faults([CHAIN[0], CHAIN[4]]) == [Break(Fault.MISSING, 2, 3)]
    assert faults(CHAIN[:3], length=5) == [Break(Fault.MISSING, 4, 2)]
    assert faults([], length=5) == [Break(Fault.MISSING, 1, 5)]


def test_a_row_that_was_altered_does_not_lead_to_the_next() -> None:
    altered = Receipt(CHAIN[1].record._replace(stored=b"\7" * 32).encode())
    assert faults([CHAIN[0], altered, *CHAIN[2:]]) == [Break(Fault.NOT_LINKED, 3)]
    first = Receipt(CHAIN[0].record._replace(previous=b"\7" * 32).encode())
    assert faults([first]) == [Break(Fault.NOT_LINKED, 1)]


def test_rows_in_another_order_or_twice_are_out_of_order() -> None:
    assert faults([CHAIN[0], CHAIN[2], CHAIN[1]]) == [
        Break(Fault.MISSING, 2),
        Break(Fault.OUT_OF_ORDER, 2),
    ]
    assert faults([*CHAIN, CHAIN[4]]) == [Break(Fault.OUT_OF_ORDER, 5)]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"run_id": 7}, Fault.OF_ANOTHER_RUN),
        ({"store_id": "7" * 32}, Fault.OF_ANOTHER_STORE),
        ({"node_id": 7}, Fault.OF_ANOTHER_NODE),
    ],
)
def test_a_row_from_elsewhere_is_named(changes: dict[str, object], fault: Fault) -> None:
    foreign = receipts(5, **changes)[1]
    found = faults([CHAIN[0], foreign, *CHAIN[1:]])
    assert found == [Break(fault, 2)]
    (only,) = breaks([CHAIN[0], foreign, *CHAIN[1:]], run_id=RUN)
    assert "7" in only.detail


def test_bytes_that_are_no_row_take_one_place() -> None:
    assert faults([CHAIN[0], Receipt(b"\xff"), *CHAIN[2:]]) == [Break(Fault.MALFORMED, 2)]


def test_a_pruned_chain_begins_at_its_anchor() -> None:
    anchor = CHAIN[1].digest
    assert faults(CHAIN[2:], pruned=2, anchor=anchor, length=5) == []
    assert faults(CHAIN[2:], pruned=2, anchor=b"\7" * 32) == [Break(Fault.NOT_LINKED, 3)]
    assert faults(CHAIN[3:], pruned=2, anchor=anchor) == [Break(Fault.MISSING, 3)]


def test_the_rows_of_the_chain_are_those_of_the_generator() -> None:
    assert [each.row for each in CHAIN] == list(rows(5))
