"""What flwr expects of a NodeState, from its own and from ours."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supernode.nodestate import InMemoryNodeState, NodeState

from fedstate.flower.nodestate import DurableNodeState
from fedstate.flower.stored_values import digest_of
from fedstate.flower.waiting_objects import WaitingObjectStore
from fedstate.large.context import SplitContext
from fedstate.store import store_file
from fedstate.store.node_store import NodeStore
from fedstate.store.values import Value

FAB = Fab("", b"content", {"valid_license": "Valid"})


def durable(path: Path) -> DurableNodeState:
    return DurableNodeState(WaitingObjectStore(), NodeStore(path))


@pytest.fixture(params=["flwr", "fedstate"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NodeState]:
    if request.param == "flwr":
        yield InMemoryNodeState(ObjectStoreFactory().store())
    else:
        ours = durable(tmp_path)
        with closing(ours.store):
            yield ours


def context(run_id: int = 1, series_id: int = 7, value: float = 1.0) -> Context:
    state = RecordDict({"w": ArrayRecord([np.full(5000, value)])})
    state["m"] = MetricRecord({"loss": [value]})
    return Context(run_id, 3, {"partition-id": 0}, state, {"rate": 0.1}, series_id)


def test_the_node_id_is_set_once_the_superlink_gave_it(state: NodeState) -> None:
    with pytest.raises(ValueError, match="not set"):
        state.get_node_id()
    state.set_node_id(2**64 - 1)
    assert state.get_node_id() == 2**64 - 1


def test_a_context_is_there_after_it_was_set(state: NodeState) -> None:
    assert state.get_run_series_context(7) is None
    state.set_run_series_context(7, context())
    state.set_run_series_context(8, context(series_id=8, value=2.0))
    state.set_run_series_context(7, context(value=3.0))
    assert state.get_run_series_context(7) == context(value=3.0)
    assert state.get_run_series_context(8) == context(series_id=8, value=2.0)


def test_runs_and_fabs_are_there_after_they_were_stored(state: NodeState) -> None:
    assert state.get_run(2**64 - 1) is None
    run = Run.create_empty(2**64 - 1)
    state.store_run(run)
    assert state.get_run(2**64 - 1) == run
    fab_hash = state.store_fab(FAB)
    assert state.get_fab(fab_hash) == Fab(fab_hash, b"content", {"valid_license": "Valid"})
    assert state.get_fab("none") is None


def test_a_message_is_handed_out_once(state: NodeState) -> None:
    metadata = Metadata(1, "message", 2, 3, "", "4", 1000.0, 10.0, "train")
    message = make_message(metadata=metadata, content=RecordDict())
    assert state.store_message(message) == "message"
    run_ids = [message.metadata.run_id]
    assert len(state.get_messages_legacy(run_ids=run_ids, is_reply=False, limit=1)) == 1
    assert not state.get_messages_legacy(run_ids=run_ids, is_reply=False, limit=1)


def test_a_task_is_claimed_by_one_executor(state: NodeState) -> None:
    task_id = state.create_task(TaskType.CLIENT_APP, 1, fab_hash="fab")
    assert task_id is not None
    assert state.claim_task(task_id)
    assert state.claim_task(task_id) is None


class TestDurable:
    """What only ours does."""

    def test_runs_fabs_and_contexts_are_there_in_the_next_process(self, tmp_path: Path) -> None:
        run = Run.create_empty(1)
        run.series_id, run.fab_hash = 7, "hash"
        first = durable(tmp_path)
        first.add_run(run, FAB, context())
        first.set_run_series_context(7, context(value=2.0))
        first.store.close()
        second = durable(tmp_path)
        with closing(second.store):
            stored = second.get_run(1)
            assert stored is not None
            assert (stored.run_id, stored.series_id, stored.fab_hash) == (1, 7, "hash")
            fab = second.get_fab("hash")
            assert fab is not None
            assert fab.content == b"content"
            assert second.get_run_series_context(7) == context(value=2.0)

    def test_memory_holds_no_more_contexts_than_its_bound(self, tmp_path: Path) -> None:
        size = 5000 * 8
        with closing(NodeStore(tmp_path)) as store:
            state = DurableNodeState(
                WaitingObjectStore(), store, cache_bytes=3 * size + size // 2
            )
            for series_id in range(10):
                state.set_run_series_context(series_id, context(series_id=series_id))
            assert len(state._cache) == 3
            for series_id in range(10):
                assert state.get_run_series_context(series_id) == context(series_id=series_id)
            assert len(state._cache) == 3

    def test_a_task_that_was_lost_is_had_again_or_has_failed(self, tmp_path: Path) -> None:
        with closing(durable(tmp_path).store) as store:
            state = DurableNodeState(WaitingObjectStore(), store)
            starting, running, other, pending = (
                state.create_task(TaskType.CLIENT_APP, 1, fab_hash="fab") for _ in range(4)
            )
            assert starting
            assert running
            assert other
            assert pending
            tokens = {each: state.claim_task(each) for each in (starting, running, other)}
            assert state.activate_task(running)
            assert state.activate_task(other)
            failed: list[int] = []
            state.on_tasks_expired = failed.extend
            state.expire_tasks([starting, running, pending, 12345])
            assert failed == [running]
            assert not state.acknowledge_task_heartbeat(running)
            assert state.acknowledge_task_heartbeat(other)
            again = state.claim_task(starting)
            assert again not in (None, tokens[starting])

    def test_a_later_run_of_a_series_has_its_own_context(self, tmp_path: Path) -> None:
        """Not that of the run before it, which may still be in memory."""
        with closing(durable(tmp_path).store) as store:
            state = DurableNodeState(WaitingObjectStore(), store)
            for run_id in (1, 2):
                run = Run.create_empty(run_id)
                run.series_id, run.fab_hash = 7, "hash"
                state.add_run(run, FAB, context(run_id, value=run_id))
                loaded = state.get_run_series_context(7)
                assert loaded == context(run_id, value=run_id)
                bare = state.bare_context(7)
                assert bare is not None
                assert bare.run_id == run_id

    def test_what_was_deleted_is_not_had_from_memory(self, tmp_path: Path) -> None:
        with closing(durable(tmp_path).store) as store:
            state = DurableNodeState(WaitingObjectStore(), store)
            run = Run.create_empty(1)
            run.series_id, run.fab_hash = 7, "hash"
            state.add_run(run, FAB, context())
            assert state.split_context(7) is not None
            store.finish_run(1)
            store.free_run(1)
            assert state.split_context(7) is None
            assert state.bare_context(7) is None

    @pytest.mark.parametrize("cache_bytes", [0, 10**6])
    def test_contexts_of_other_runs_load_while_a_step_is_committed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_bytes: int
    ) -> None:
        with closing(NodeStore(tmp_path)) as store, ThreadPoolExecutor(2) as pool:
            state = DurableNodeState(WaitingObjectStore(), store, cache_bytes)
            for series_id in (7, 8):
                run = Run.create_empty(series_id)
                run.series_id, run.fab_hash = series_id, "hash"
                state.add_run(run, FAB, context(series_id, series_id))
            store.receive("message", 7, Value(b"message"))
            begun, go_on = threading.Event(), threading.Event()

            def reach(name: str) -> None:
                begun.set()
                assert go_on.wait(60)

            monkeypatch.setattr(store_file, "reach", reach)
            left = SplitContext.split(context(7, 7, value=2.0))
            commit = pool.submit(state.commit_step, "message", 7, left, Value(b"reply"))
            try:
                assert begun.wait(60)
                other = pool.submit(state.get_run_series_context, 8).result(60)
                assert other == context(8, 8)
                bare = pool.submit(state.bare_context, 7).result(60)
                assert bare is not None
                assert not commit.done()
            finally:
                go_on.set()
            commit.result(60)
            assert state.get_run_series_context(7) == context(7, 7, value=2.0)

    @pytest.mark.parametrize("cache_bytes", [0, 10**6])
    def test_a_load_beside_commits_is_never_older_than_the_one_before(
        self, tmp_path: Path, cache_bytes: int
    ) -> None:
        last = 25
        with closing(NodeStore(tmp_path)) as store, ThreadPoolExecutor(4) as pool:
            state = DurableNodeState(WaitingObjectStore(), store, cache_bytes)
            run = Run.create_empty(1)
            run.series_id, run.fab_hash = 7, "hash"
            state.add_run(run, FAB, context(value=0.0))

            def load() -> None:
                seen = 0.0
                while seen < last:
                    loaded = state.get_run_series_context(7)
                    assert loaded is not None
                    (value,) = cast("list[float]", loaded.state.metric_records["m"]["loss"])
                    assert loaded == context(value=value)
                    assert value >= seen
                    seen = value

            loads = [pool.submit(load) for _ in range(3)]
            for number in range(1, last + 1):
                store.receive(f"m{number}", 1, Value(b"message"))
                left = SplitContext.split(context(value=float(number)))
                state.commit_step(f"m{number}", 7, left, Value(b"reply"))
                assert state.get_run_series_context(7) == context(value=float(number))
                store.maintain()
            for each in loads:
                each.result(60)

    @pytest.mark.parametrize("cache_bytes", [0, 10**6])
    def test_the_digest_of_what_is_handed_out_is_that_of_what_was_stored(
        self, tmp_path: Path, cache_bytes: int
    ) -> None:
        """From memory, from the store, and after a restart."""
        with closing(NodeStore(tmp_path)) as store:
            state = DurableNodeState(WaitingObjectStore(), store, cache_bytes)
            assert state.digested_context(7) is None
            run = Run.create_empty(1)
            run.series_id, run.fab_hash = 7, "hash"
            state.add_run(run, FAB, context())
            first = digest_of(SplitContext.split(context()))
            for _ in range(2):
                handed_out = state.digested_context(7)
                assert handed_out is not None
                assert handed_out[1] == first
            store.receive("m", 1, Value(b"message"))
            state.commit_step("m", 7, SplitContext.split(context(value=2.0)), Value(b"reply"))
            (row,) = store.rows_after(0, [], 10)
            handed_out = state.digested_context(7)
            assert handed_out is not None
            assert handed_out[0].join() == context(value=2.0)
            assert handed_out[1] == row.record.stored != first
        again = durable(tmp_path)
        with closing(again.store):
            handed_out = again.digested_context(7)
            assert handed_out is not None
            assert handed_out[1] == row.record.stored

    def test_states_that_were_swapped_in_the_store_are_handed_out_with_their_own_digest(
        self, tmp_path: Path
    ) -> None:
        """So that the row of the next step contradicts the one before it."""
        with closing(NodeStore(tmp_path)) as store:
            state = DurableNodeState(WaitingObjectStore(), store)
            for series_id in (7, 8):
                run = Run.create_empty(series_id)
                run.series_id, run.fab_hash = series_id, "hash"
                state.add_run(run, FAB, context(series_id, series_id, value=series_id))
        with closing(NodeStore(tmp_path)) as store:
            mine, other = (store._rows.one("context", each) for each in ("7", "8"))
            assert mine is not None
            assert other is not None
            store._rows.put("context", mine | {"value_id": other["value_id"]})
            state = DurableNodeState(WaitingObjectStore(), store)
            handed_out = state.digested_context(7)
            assert handed_out is not None
            stolen = SplitContext.split(context(8, 8, value=8))
            assert handed_out[1] == digest_of(stolen)

    def test_locks_of_series_do_not_add_up(self, tmp_path: Path) -> None:
        with closing(durable(tmp_path).store) as store:
            state = DurableNodeState(WaitingObjectStore(), store)
            for series_id in range(20):
                assert state.split_context(series_id) is None
            assert len(state._series_locks) == 0

    def test_tasks_that_expired_are_told_of_without_a_lock(self, tmp_path: Path) -> None:
        """Who hears of them looks for their steps, whose lock others hold as they make tasks."""
        with closing(durable(tmp_path).store) as store:
            state = DurableNodeState(WaitingObjectStore(), store)
            task_id = state.create_task(TaskType.CLIENT_APP, 1, fab_hash="fab")
            assert task_id is not None
            assert state.claim_task(task_id)
            assert state.activate_task(task_id)
            locked: list[bool] = []
            state.on_tasks_expired = lambda _: locked.append(state._task_lock._lock.locked())
            state.task_token_store[task_id].active_until -= timedelta(days=1)
            state.get_tasks(task_ids=[0])
            assert locked == [False]
