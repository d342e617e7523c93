"""What flwr expects of a NodeState, from its own and from ours."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

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
from fedstate.store.node_store import NodeStore

FAB = Fab("", b"content", {"valid_license": "Valid"})


def durable(path: Path) -> DurableNodeState:
    return DurableNodeState(ObjectStoreFactory().store(), NodeStore(path))


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
                ObjectStoreFactory().store(), store, cache_bytes=3 * size + size // 2
            )
            for series_id in range(10):
                state.set_run_series_context(series_id, context(series_id=series_id))
            assert len(state._cache) == 3
            for series_id in range(10):
                assert state.get_run_series_context(series_id) == context(series_id=series_id)
            assert len(state._cache) == 3

    def test_a_task_that_was_lost_is_had_again_or_has_failed(self, tmp_path: Path) -> None:
        with closing(durable(tmp_path).store) as store:
            state = DurableNodeState(ObjectStoreFactory().store(), store)
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
