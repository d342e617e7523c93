"""A row comes back as it was written, and what is no row is refused."""

from dataclasses import fields, replace
from typing import Any

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
        field.name: {"int": UINT64, "str": TEXT, "bytes": DIGEST, "float": st.floats(0, 1e9)}[
            str(getattr(field.type, "__name__", field.type))
        ]
        for field in fields(StepRecord)
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
        replace(FIRST, **{field.name: other[type(getattr(FIRST, field.name))]}).encode()
        for field in fields(StepRecord)
    }
    assert len(encoded | {FIRST.encode()}) == len(fields(StepRecord)) + 1


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
        (replace(FIRST, sequence=0).encode(), "no number"),
        (replace(FIRST, run_sequence=0).encode(), "no number"),
        (replace(FIRST, store_id="").encode(), "names no store"),
        (replace(FIRST, outcome="maybe").encode(), "outcome 'maybe'"),
        (replace(FIRST, previous=b"\1").encode(), "the row before it"),
    ],
)
def test_what_is_no_row_is_refused(row: bytes, problem: str) -> None:
    with pytest.raises(MalformedRecordError, match=problem):
        StepRecord.decode(row)


def test_each_run_of_each_store_begins_with_another_digest() -> None:
    assert len({genesis(store, run) for store in ("1", "11") for run in (1, 11, 2**64 - 1)}) == 6
