"""Ended runs are noticed, unknown ones kept, lost tasks expired, and the store stays small."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from flwr.app import Context, MetricRecord, RecordDict
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import (
    Connection,
    Fault,
    Handle,
    SuperLink,
    answers,
    breaks,
)
from tests.waiting import wait_until

from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi
from fedstate.flower.errors import RunStatus
from fedstate.flower.nodestate import DurableNodeState, durable_node_state
from fedstate.flower.stored_values import encode_context
from fedstate.large.context import SplitContext
from fedstate.logs.run_files import RunFile, outputs_in
from fedstate.store.errors import StoreError, StoreFullError
from fedstate.store.keeping_store import Origin
from fedstate.store.node_store import NodeStore
from fedstate.store.requests import ask_to_roll_back, free_runs
from fedstate.store.retention import Choice, Retention
from fedstate.store.values import Value
from fedstate.supernode.admission import Admission
from fedstate.supernode.late_rows import LateRows
from fedstate.supernode.link import Link
from fedstate.supernode.maintenance import Maintenance
from fedstate.supernode.membership import Membership
from fedstate.supernode.runs import Runs
from fedstate.supernode.session import SessionFile


class Working:
    """The steps of a node, as far as they are of concern to what looks after runs."""

    def __init__(self, late_rows: LateRows) -> None:
        self.late_rows = late_rows
        self.runs = Runs()
        self.under_way: set[int] = set()

    def running(self, run_id: int) -> bool:
        return run_id in self.under_way

    def end_run(self, run_id: int) -> None:
        self.runs.end(run_id)


class Maintained:
    """A node that has joined, with a run in its store."""

    def __init__(self, superlink: SuperLink, directory: Path, session: SessionFile) -> None:
        self.superlink = superlink
        self.connection: Connection = superlink.connection()
        self.api: FleetApi = superlink.api(self.connection, key_pair())
        self.membership = Membership(self.api, session, register=True)
        self.membership.join()
        self.state: DurableNodeState = durable_node_state(NodeStore(directory))
        self.store = self.state.store
        self.state.set_node_id(self.membership.node_id)
        self.link = Link(self.api, self.membership)
        self.admission = Admission(self.state, self.link, {}, lambda _: None)
        self.run_id = self.add_run()
        self.steps = Working(LateRows(self.store, self.link))
        self.failures: list[BaseException] = []
        self.output = directory / "output"

    def add_run(self) -> int:
        run_id = self.superlink.start_run()
        assert self.admission.problem_with(run_id) is None
        return run_id

    @contextmanager
    def running(self, retention: Retention | None = None) -> Iterator[Maintenance]:
        maintenance = Maintenance(
            self.state,
            self.link,
            retention or Retention(),
            steps=self.steps,
            on_failure=self.failures.append,
            store_seconds=0.01,
            runs_seconds=0.01,
            output=self.output,
        )
        maintenance.start()
        try:
            yield maintenance
        finally:
            maintenance.stop()

    def looked(self) -> None:
        """Wait until it has looked at all runs twice from now on."""
        seen = self.connection.count("get-run")
        wait_until(lambda: self.connection.count("get-run") > seen + 2 * len(self.store.runs()))

    def finished(self, run_id: int) -> bool:
        return any(
            run.finished_at is not None for run in self.store.runs() if run.run_id == run_id
        )


@pytest.fixture
def node(
    superlink: SuperLink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Maintained]:
    caplog.set_level(logging.INFO, logger="flwr.fedstate")
    with closing(SessionFile(tmp_path / "session", PATIENCE_SECONDS)) as session:
        node = Maintained(superlink, tmp_path / "state", session)
        yield node
        node.membership.leave(for_good=True)
        node.store.close()


def test_a_run_that_has_ended_is_noted_and_one_that_goes_on_is_not(node: Maintained) -> None:
    going = node.add_run()
    node.superlink.end_run(node.run_id)
    with node.running():
        wait_until(lambda: node.finished(node.run_id))
        node.looked()
    assert not node.finished(going)
    assert not node.failures


def test_the_store_is_told_of_the_end_once_no_step_is_under_way(node: Maintained) -> None:
    other = node.add_run()
    node.steps.under_way.add(node.run_id)
    node.superlink.end_run(node.run_id)
    with node.running():
        wait_until(lambda: node.steps.runs.has_ended(node.run_id))
        assert not node.finished(node.run_id)
        node.steps.under_way.clear()
        wait_until(lambda: node.finished(node.run_id))
        wait_until(lambda: not node.steps.runs.unnoted())
    assert not node.finished(other)


def test_where_ends_are_told_of_no_run_is_looked_up_again(node: Maintained) -> None:
    """But for once at the start, and soon after the SuperLink was away."""
    node.link.tells_ends = True
    with node.running() as maintenance:
        wait_until(lambda: node.connection.count("get-run") == 1)
        maintenance._next_look_up = float("inf")  # many pauses later
        node.steps.end_run(node.run_id)
        wait_until(lambda: node.finished(node.run_id))
        other = node.add_run()
        asked = node.connection.count("get-run")
        node.superlink.end_run(other)
        maintained = maintenance._next_runs
        wait_until(lambda: maintenance._next_runs > maintained)
        assert node.connection.count("get-run") == asked
        node.link.tells_ends = False
        wait_until(lambda: node.finished(other))


def test_a_run_that_is_not_in_the_store_any_longer_is_not_waited_for(node: Maintained) -> None:
    node.steps.end_run(4711)
    with node.running():
        wait_until(lambda: not node.steps.runs.unnoted())


def test_a_run_that_is_not_known_is_kept_and_said_once(
    node: Maintained, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = node.run_id
    with node.running(Retention(seconds=0)):
        # As if the SuperLink had been started with another database.
        node.connection.down("get-run", answers(403, answer_for_an_unknown_run(node.superlink)))
        wait_until(lambda: run_id in node.store.unknown_runs())
        node.looked()
        assert [run.run_id for run in node.store.runs()] == [run_id]
        assert caplog.text.count(f"does not know run {run_id}") == 1
        assert f"fedstate state free {run_id} --state {node.store.directory}" in caplog.text
        node.connection.up()
        wait_until(lambda: not node.store.unknown_runs())
        assert f"The SuperLink knows run {run_id} again." in caplog.text


def answer_for_an_unknown_run(superlink: SuperLink) -> bytes:
    """Return what the SuperLink says of a run that it does not have."""
    said: list[bytes] = []

    def listen(handle: Handle) -> httpx.Response:
        response = handle()
        said.append(response.read())
        return httpx.Response(response.status_code, content=said[0])

    with superlink.node() as (api, connection):
        connection.plan("get-run", listen)
        assert api.run_status(4711) is RunStatus.UNKNOWN
    return said[0]


def test_a_run_is_freed_for_who_asks_while_no_step_of_it_is_under_way(node: Maintained) -> None:
    node.store.note_unknown(node.run_id)
    node.connection.down("get-run", answers(500))
    node.steps.under_way.add(node.run_id)
    node.output.mkdir()
    RunFile(node.output, node.run_id).end()
    with node.running():
        with pytest.raises(StoreError, match=r"A step of run .* is under way"):
            free_runs(node.store.directory, Choice(runs=[str(node.run_id)]))
        assert node.run_id in outputs_in(node.output)
        node.steps.under_way.clear()
        freed = free_runs(node.store.directory, Choice(runs=[str(node.run_id)[:3]]))
    assert freed.runs == [str(node.run_id)]
    assert node.run_id not in outputs_in(node.output)
    assert node.store.runs() == []
    assert node.state.get_run(node.run_id) is None
    assert not node.failures


@pytest.mark.parametrize(
    "fault",
    [
        breaks(httpx.ConnectError, after=False),
        breaks(httpx.ReadTimeout, after=True),
        answers(500),
        answers(401),
        answers(403),
        answers(200, b"\xff<html>"),
    ],
)
def test_a_superlink_that_does_not_answer_says_nothing_of_a_run(
    node: Maintained, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    node.connection.down("get-run", fault)
    with node.running(Retention(seconds=0)):
        node.looked()
        assert f"Run {node.run_id} cannot be looked up. The SuperLink" in caplog.text
        assert not node.finished(node.run_id)
        assert not node.store.unknown_runs()
        node.superlink.end_run(node.run_id)
        node.connection.up()
        wait_until(lambda: not node.store.runs())
    assert not node.failures


def test_retention_deletes_a_run_that_ended_and_memory_forgets_it(node: Maintained) -> None:
    (stored,) = node.store.runs()
    assert node.state.get_run_series_context(stored.series_id) is not None
    node.superlink.end_run(node.run_id)
    with node.running(Retention(seconds=0)):
        wait_until(lambda: not node.store.runs())
    assert node.state.get_run(node.run_id) is None
    assert node.state.get_run_series_context(stored.series_id) is None


def test_a_run_is_rolled_back_between_its_steps_as_somebody_asks(
    node: Maintained, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    monkeypatch.setattr(node.steps.late_rows, "written", written.set)
    node.store.keep = 3
    (stored,) = node.store.runs()
    state = RecordDict({"steps": MetricRecord({"count": 1})})
    context = Context(node.run_id, 1, {}, state, {}, stored.series_id)
    node.store.receive("m", node.run_id, Value(b"message"))
    value = encode_context(SplitContext.split(context))
    node.store.commit("m", stored.series_id, value, Value(b"reply"))
    node.store.answered("m", b"signature")
    # It is in memory from then on.
    loaded = node.state.get_run_series_context(stored.series_id)
    assert loaded is not None
    assert loaded.state.keys() == {"steps"}
    with node.running():
        now = ask_to_roll_back(node.store.directory, Origin(node.run_id, 0))
        assert (now.number, now.current) == (2, True)
        loaded = node.state.get_run_series_context(stored.series_id)
        assert loaded is not None
        assert not loaded.state
        node.steps.under_way.add(node.run_id)
        with pytest.raises(StoreError, match="has a step under way"):
            ask_to_roll_back(node.store.directory, Origin(node.run_id, 0))
        # Its row has no reply with which it would be sent.
        assert written.is_set()
    assert not node.failures


def test_what_a_run_has_printed_goes_with_its_state(node: Maintained) -> None:
    other = node.add_run()
    node.output.mkdir()
    for run_id in (node.run_id, other):
        RunFile(node.output, run_id).end()
    node.steps.runs.end(node.run_id)
    with node.running(Retention(seconds=0)):
        wait_until(lambda: outputs_in(node.output).keys() == {other})
    assert {run.run_id for run in node.store.runs()} == {other}


def test_the_log_is_written_back_when_something_was_stored(node: Maintained) -> None:
    with node.running() as maintenance:
        wait_until(lambda: maintenance._maintained == node.store.generation)
        (stored,) = node.store.runs()
        context = Context(node.run_id, 1, {}, RecordDict(), {}, stored.series_id)
        node.state.set_run_series_context(stored.series_id, context)
        wait_until(lambda: maintenance._maintained == node.store.generation)


def test_a_store_that_is_behind_is_maintained_though_nothing_was_stored(
    node: Maintained, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[int] = []

    def maintain() -> None:
        times.append(node.store.generation)
        node.store.is_behind = len(times) < 3

    monkeypatch.setattr(node.store, "maintain", maintain)
    with node.running():
        wait_until(lambda: len(times) == 3)


def test_a_full_disk_is_waited_for_and_a_damaged_store_ends_the_supernode(
    node: Maintained, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(error: Exception) -> Callable[[], None]:
        def maintain() -> None:
            raise error

        return maintain

    with node.running() as maintenance:
        monkeypatch.setattr(node.store, "maintain", failing(StoreFullError("The disk is full.")))
        maintenance._maintained = -1
        wait_until(lambda: "The disk is full." in caplog.text)
        assert not node.failures
        damaged = StoreError("It is damaged.")
        monkeypatch.setattr(node.store, "maintain", failing(damaged))
        wait_until(lambda: node.failures == [damaged])


def test_it_stops_though_the_superlink_does_not_answer(
    node: Maintained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedstate.supernode.maintenance.STORE_SECONDS", 0.05)
    asked, go_on = threading.Event(), threading.Event()

    def hang(handle: Handle) -> httpx.Response:
        asked.set()
        go_on.wait(60)
        return handle()

    node.connection.plan("get-run", hang)
    with node.running() as maintenance:
        assert asked.wait(30)
        maintenance.stop()
        assert maintenance._thread.is_alive()
        go_on.set()
        maintenance._thread.join(30)
        assert not maintenance._thread.is_alive()
