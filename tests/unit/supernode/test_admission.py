"""What keeps a run from starting on a node, and what is kept of one that starts."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from flwr.app import Context, MetricRecord, RecordDict
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import (
    Connection,
    Fault,
    SuperLink,
    answers,
    breaks,
    fab,
)

from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi
from fedstate.flower.errors import ErrorCode, RunEndedError, UnauthorizedError
from fedstate.flower.nodestate import DurableNodeState, durable_node_state
from fedstate.flower.runs import Fab
from fedstate.store.errors import StoreError, StoreFullError
from fedstate.store.node_store import NodeStore
from fedstate.supernode.admission import Admission
from fedstate.supernode.link import Link
from fedstate.supernode.membership import Membership
from fedstate.supernode.session import SessionFile

NODE_CONFIG: dict[str, bool | float | int | str] = {"partition-id": 3}


class Admitting:
    """A node that has joined, and its store."""

    def __init__(self, superlink: SuperLink, directory: Path, session: SessionFile) -> None:
        self.superlink = superlink
        self.connection: Connection = superlink.connection()
        self.api: FleetApi = superlink.api(self.connection, key_pair())
        self.membership = Membership(self.api, session, register=True)
        self.membership.join()
        self.state: DurableNodeState = durable_node_state(NodeStore(directory))
        self.state.set_node_id(self.membership.node_id)
        self.refused: str | None = None
        link = Link(self.api, self.membership)
        self.admission = Admission(self.state, link, NODE_CONFIG, self._fab_problem)
        self.run_id = superlink.start_run()

    def _fab_problem(self, _fab: Fab) -> str | None:
        return self.refused


@pytest.fixture
def node(superlink: SuperLink, tmp_path: Path) -> Iterator[Admitting]:
    with closing(SessionFile(tmp_path / "session", PATIENCE_SECONDS)) as session:
        node = Admitting(superlink, tmp_path / "state", session)
        yield node
        node.membership.leave(for_good=True)
        node.state.store.close()


def context_of(node: Admitting, run_id: int) -> Context:
    run = node.state.get_run(run_id)
    assert run is not None
    context = node.state.get_run_series_context(run.series_id)
    assert context is not None
    return context


def test_a_new_run_is_stored_with_its_fab_and_a_first_context(node: Admitting) -> None:
    assert node.admission.problem_with(node.run_id) is None
    (stored,) = node.state.store.runs()
    assert stored.run_id == node.run_id
    found = node.state.get_fab(stored.fab_hash)
    assert found is not None
    assert found.content == fab()
    context = context_of(node, node.run_id)
    assert context.node_config == NODE_CONFIG
    assert context.node_id == node.api.node_id
    assert context.run_config == {"rate": 0.1, "rounds": 3}  # the FAB's, and what was overridden
    assert not context.state


def test_a_run_that_is_known_is_not_asked_for_again(node: Admitting) -> None:
    assert node.admission.problem_with(node.run_id) is None
    node.connection.requests.clear()
    assert node.admission.problem_with(node.run_id) is None
    assert node.connection.requests == []


def test_a_run_of_a_known_series_starts_with_the_state_of_the_series(node: Admitting) -> None:
    assert node.admission.problem_with(node.run_id) is None
    context = context_of(node, node.run_id)
    context.state["kept"] = MetricRecord({"loss": 0.5})
    node.state.set_run_series_context(context.series_id, context)
    later = node.superlink.start_run(series_id=context.series_id)
    assert node.admission.problem_with(later) is None
    assert context_of(node, later).state == RecordDict({"kept": MetricRecord({"loss": 0.5})})
    assert context_of(node, later).run_id == later


def test_a_run_that_has_ended_is_not_answered(node: Admitting) -> None:
    node.superlink.end_run(node.run_id)
    with pytest.raises(RunEndedError):
        node.admission.problem_with(node.run_id)
    assert node.state.store.runs() == []


@pytest.mark.parametrize("call", ["get-run", "get-fab"])
def test_a_key_that_is_not_accepted_is_no_matter_of_the_run(node: Admitting, call: str) -> None:
    node.connection.plan(call, answers(401))
    with pytest.raises(UnauthorizedError):
        node.admission.problem_with(node.run_id)
    assert node.state.store.runs() == []


@pytest.mark.parametrize("call", ["get-run", "get-fab"])
@pytest.mark.parametrize("fault", [answers(500), answers(400), answers(200, b"\xff<html>")])
def test_a_superlink_that_does_not_tell_of_the_run_is_said_and_asked_the_next_time(
    node: Admitting, call: str, fault: Fault
) -> None:
    node.connection.plan(call, fault)
    problem = node.admission.problem_with(node.run_id)
    assert problem is not None
    assert problem.code == ErrorCode.UNKNOWN
    assert str(problem.reason).startswith("The SuperLink")
    assert node.state.store.runs() == []
    assert node.admission.problem_with(node.run_id) is None


@pytest.mark.parametrize("call", ["get-run", "get-fab"])
def test_a_superlink_that_is_away_is_waited_for(node: Admitting, call: str) -> None:
    node.connection.plan(call, breaks(httpx.ConnectError, after=False), answers(503))
    assert node.admission.problem_with(node.run_id) is None


def test_a_fab_that_may_not_run_is_refused_with_the_reason(node: Admitting) -> None:
    node.refused = "The FAB could not be verified."
    problem = node.admission.problem_with(node.run_id)
    assert problem is not None
    assert (problem.code, problem.reason) == (ErrorCode.INVALID_FAB, node.refused)
    assert node.state.store.runs() == []


@pytest.mark.parametrize("content", [b"no archive", fab()[:-100]])
def test_a_fab_that_is_none_is_refused(node: Admitting, content: bytes) -> None:
    run_id = node.superlink.start_run(content)
    problem = node.admission.problem_with(run_id)
    assert problem is not None
    assert problem.code == ErrorCode.INVALID_FAB
    assert str(problem.reason).startswith("The run cannot start on this node: ")
    assert node.state.store.runs() == []


def test_a_full_store_is_the_reason_and_a_broken_one_ends_the_supernode(
    node: Admitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = node.state.store
    with monkeypatch.context() as patch:
        patch.setattr(store, "add_run", raising(StoreFullError("The disk is full.")))
        problem = node.admission.problem_with(node.run_id)
    assert problem is not None
    assert (problem.code, problem.reason) == (ErrorCode.UNKNOWN, "The disk is full.")
    with monkeypatch.context() as patch:
        patch.setattr(store, "add_run", raising(StoreError("It is damaged.")))
        with pytest.raises(StoreError, match="damaged"):
            node.admission.problem_with(node.run_id)
    assert node.admission.problem_with(node.run_id) is None


def raising(error: Exception) -> object:
    def call(*_arguments: object, **_more: object) -> None:
        raise error

    return call
