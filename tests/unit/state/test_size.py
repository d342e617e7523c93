"""The size of a Context from above: never below what Flower sends, and hardly above."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.flower.contexts import context_to_bytes
from fedstate.state import StateTypeError
from fedstate.state.size import check_size, size_bound

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
SHAPES = st.lists(st.integers(0, 4), max_size=4)
ARRAYS = SHAPES.map(lambda shape: Array(np.zeros(shape, np.float32)))
METRICS = INTS | FLOATS | st.lists(INTS, max_size=9) | st.lists(FLOATS, max_size=9)
CONFIGS = st.booleans() | METRICS | TEXTS | st.binary(max_size=200) | st.lists(TEXTS, max_size=5)
RECORDS = st.one_of(
    st.dictionaries(NAMES, ARRAYS, max_size=5).map(ArrayRecord),
    st.dictionaries(NAMES, METRICS, max_size=5).map(MetricRecord),
    st.dictionaries(NAMES, CONFIGS, max_size=5).map(lambda items: ConfigRecord(dict(items))),
)
CONFIG = st.dictionaries(NAMES, st.booleans() | INTS | FLOATS | TEXTS, max_size=5)


@settings(derandomize=True, deadline=None)
@given(st.dictionaries(NAMES, RECORDS, max_size=4), CONFIG, CONFIG)
def test_the_bound_holds_and_is_close(
    records: dict[str, ArrayRecord], node_config: dict[str, str], run_config: dict[str, str]
) -> None:
    context = Context(2**63, 2**63, node_config, RecordDict(records), run_config, 2**63)  # type: ignore[arg-type]
    entries = sum(len(record) for record in records.values())
    entries += len(records) + len(node_config) + len(run_config) + 1
    numbers = sum(
        len(value)
        for record in records.values()
        for value in record.values()
        if isinstance(value, list)
    )
    size, bound = len(context_to_bytes(context)), size_bound(context)
    assert size <= bound <= size + 150 * entries + 20 * numbers


def test_a_context_at_the_bound_is_taken_and_one_above_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = Context(1, 1, {}, RecordDict({"texts": ConfigRecord({"a": "b" * 500})}), {})
    monkeypatch.setattr("fedstate.state.size.CONTEXT_BYTES", size_bound(context))
    check_size(context)
    context.state["more"] = ConfigRecord({"a": "b"})
    with pytest.raises(StateTypeError, match=r"takes \d+ bytes, and a Context of at most \d+"):
        check_size(context)
