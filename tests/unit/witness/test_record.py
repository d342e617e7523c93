"""A row comes back as it was written, and what is no row is refused."""

from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.witness.rows import FIRST

from fedstate.witness.record import FAILED, MalformedRecordError, StepRecord, genesis

UINT64 = st.integers(1, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIGEST = st.binary(min_size=32, max_size=32)

RECORDS = st.builds(
    StepRecord,
    **{
        name: {int: UINT64, str: TEXT, bytes: DIGEST, float: st.floats(0, 1e9)}[kind]
        for name, kind in get_type_hints(StepRecord).items()
    }
    | {"store_id": st.text("0123456789abcdef", min_size=1), "outcome": st.just(FAILED)},
)


@given(RECORDS)
def test_a_row_comes_back_as_it_was(record: StepRecord) -> None:
    row = record.encode()
    assert StepRecord.decode(row) == record
    assert StepRecord.decode(row).encode() == row


def test_rows_that_differ_anywhere_are_other_bytes() -> None:
    other: dict[type, Any] = {int: 77, str: "77", bytes: b"\7" * 32, float: 7.7}
    encoded = {
        FIRST._replace(**{name: other[type(getattr(FIRST, name))]}).encode()
        for name in StepRecord._fields
    }
    assert len(encoded | {FIRST.encode()}) == len(StepRecord._fields) + 1


def test_a_row_is_these_bytes_for_ever() -> None:
    """Rows are kept and their digests are signed: an encoding that changes breaks every chain."""
    assert FIRST.encode().hex().startswith("0801100118ffffffffffffffffff0120feffffffffffffffff01")
    assert (
        genesis("5", 7).hex()
        == "6fad2b166301b6282da8430bdb14bd9f294f5808f288afeb951b4e9c085eb2f9"
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"", "no number"),
        (b"\xff\xff", "not a row"),
        (FIRST._replace(sequence=0).encode(), "no number"),
        (FIRST._replace(run_sequence=0).encode(), "no number"),
        (FIRST._replace(store_id="").encode(), "names no store"),
        (FIRST._replace(outcome="maybe").encode(), "outcome 'maybe'"),
        (FIRST._replace(previous=b"\1").encode(), "the row before it"),
    ],
)
def test_what_is_no_row_is_refused(row: bytes, problem: str) -> None:
    with pytest.raises(MalformedRecordError, match=problem):
        StepRecord.decode(row)


def test_each_run_of_each_store_begins_with_another_digest() -> None:
    assert len({genesis(store, run) for store in ("1", "11") for run in (1, 11, 2**64 - 1)}) == 6
