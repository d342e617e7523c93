"""Former states of runs, whatever happens to them: a model beside the store."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fedstate.store.backup import back_up
from fedstate.store.check import check
from fedstate.store.errors import StoreError
from fedstate.store.keeping_store import Origin
from fedstate.store.logged_store import Failure
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.read_only import read_only
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value

KEY = bytes(range(32))
RUNS = (1, 2, 3)
# Parts that several states have, in any mixture.
LAYERS = [bytes([number]) * 3000 for number in range(4)]

# Values that nothing refers to, and that are not on their way out.
_LOST = """
SELECT value_id FROM value WHERE NOT released AND value_id NOT IN (
    SELECT value_id FROM run UNION SELECT value_id FROM fab UNION SELECT value_id FROM context
    UNION SELECT value_id FROM kept_state
    UNION SELECT message_value FROM step WHERE message_value IS NOT NULL
    UNION SELECT reply_value FROM step WHERE reply_value IS NOT NULL)
"""
# And those that something refers to, on their way out all the same.
_TORN = """
SELECT value_id FROM value WHERE released AND value_id IN (
    SELECT value_id FROM context UNION SELECT value_id FROM kept_state)
"""


def description(header: bytes) -> bytes:
    return b"described " + header


class KeepingStates(RuleBasedStateMachine):
    """Operations on a store, and the states that it must have after each."""

    @initialize(key=st.sampled_from([None, KEY]))
    def begin(self, key: bytes | None) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "state"
        self.key = key
        self.keep = 1
        self.store = NodeStore(self.path, key=key)
        # Of each run the numbers of its states and what is in them; the present one is the last.
        self.kept: dict[int, list[tuple[int, bytes]]] = {}
        self.rows = dict.fromkeys(RUNS, 0)
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "store"):
            backup = self.path.with_name("backup")
            back_up(self.path, backup)
            self.store.close()
            assert check(self.path, self.key).problems == []
            for place in (self.path, backup):
                with read_only(place, self.key) as looked_at:
                    self.agree(looked_at)
            self.directory.cleanup()

    def a_state(self, layers: list[int]) -> Value:
        self.count += 1
        header = b"state %d" % self.count
        return Value(header, [LAYERS[each] for each in layers], description(header))

    def add(self, run_id: int, value: Value, origin: Origin | None = None) -> None:
        run = StoredRun(run_id, run_id, "fab", None)
        self.store.add_run(run, Value(b"run"), Value(b"fab"), value, origin=origin, node_id=9)
        self.rows[run_id] += origin is not None
        self.kept[run_id] = [(self.rows[run_id], bytes(value.header))]

    def came(self, run_id: int, header: bytes, keep: int) -> None:
        self.rows[run_id] += 1
        self.kept[run_id] = [*self.kept[run_id], (self.rows[run_id], header)][-keep:]

    @rule(keep=st.integers(1, 4))
    def keep_so_many(self, keep: int) -> None:
        self.keep = self.store.keep = keep

    @rule(run_id=st.sampled_from(RUNS), layers=st.lists(st.integers(0, 3), max_size=3))
    def step(self, run_id: int, layers: list[int]) -> None:
        if run_id not in self.kept:
            self.add(run_id, self.a_state([]))
        value = self.a_state(layers)
        message = f"m{self.count}"
        self.store.receive(message, run_id, Value(b"message"))
        attempt = Attempt(9, str(self.count), "train")
        self.store.commit(message, run_id, value, Value(b"reply", value.blobs), attempt)
        self.store.answered(message, b"signature")
        self.came(run_id, bytes(value.header), self.keep)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def step_that_fails(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.kept)))
        self.store.record_failure("failed", Failure(run_id, "It failed.", Attempt(9)))
        self.rows[run_id] += 1

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.kept)))
        number, header = data.draw(st.sampled_from(self.kept[run_id]))
        if number == self.kept[run_id][-1][0]:
            with pytest.raises(StoreError, match="nothing was changed"):
                self.store.roll_back(run_id, number, description)
            return
        now = self.store.roll_back(run_id, number, description)
        self.came(run_id, header, 10**6)
        assert (now.number, now.current) == (self.rows[run_id], True)

    @precondition(lambda self: self.kept and len(self.kept) < len(RUNS))
    @rule(data=st.data())
    def begin_from_another(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(sorted(self.kept)))
        number, header = data.draw(st.sampled_from(self.kept[source]))
        _, value = self.store.kept_context(source, number)
        value = Value(value.header, value.blobs, description(header))
        run_id = min(set(RUNS) - set(self.kept))
        self.add(run_id, value, Origin(source, number))

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def end_and_free(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.kept)))
        self.store.finish_run(run_id)
        assert next(self.store.finished_bytes())[1] > 0
        self.store.free_run(run_id)
        del self.kept[run_id]

    @rule()
    def maintain(self) -> None:
        self.store.maintain()

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = NodeStore(self.path, key=self.key)
        self.store.keep = self.keep

    @invariant()
    def what_is_kept_is_there(self) -> None:
        if hasattr(self, "store"):
            self.agree(self.store)
            with closing(sqlite3.connect(self.path / "node.db")) as connection:
                assert connection.execute(_LOST).fetchall() == []
                assert connection.execute(_TORN).fetchall() == []

    def agree(self, store: Any) -> None:
        for run_id in RUNS:
            there = store.kept_states(run_id)
            expected = self.kept.get(run_id, [])
            assert [each.number for each in there] == [number for number, _ in expected]
            assert [each.current for each in there] == [
                index == len(expected) - 1 for index in range(len(expected))
            ]
            for number, header in expected:
                assert bytes(store.kept_context(run_id, number)[1].header) == header
            rows = {row.record.stored for row in store.rows_after(0, [run_id], 1000)}
            # The state with which a run began is in no row.
            assert all(each.digest in rows for each in there[1:])


KeepingStates.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestKeepingStates = KeepingStates.TestCase
