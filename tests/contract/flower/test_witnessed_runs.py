"""Runs of our real SuperNodes at our real SuperLink: verified as they are, and after tampering.

One federation of two nodes in this process, and two runs at the same time; each way of tampering
works on copies of the nodes' stores or undoes what it did.
"""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import ArrayRecord, Context, MetricRecord, RecordDict
from tests.commands import fedstate
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Run
from tests.contract.flower.in_process_supernode import SteppingNode, clientapp

from fedstate.flower.stored_values import digest_of, encode_context
from fedstate.large.context import SplitContext
from fedstate.store.backup import back_up, restore
from fedstate.store.node_store import NodeStore
from fedstate.supernode.log_answers import LogAnswers
from fedstate.verify.findings import Finding, Level
from fedstate.verify.persistence import EMPTY
from fedstate.verify.report import Report
from fedstate.verify.selection import Selection
from fedstate.verify.session import Session
from fedstate.verify.store import verify_store
from fedstate.verify.superlink import SuperLinkSource
from fedstate.witness import digests

ROUNDS = 3


class Federation:
    """Two nodes and two runs that have made some rounds, of which one step has failed."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.superlink = stack.enter_context(SuperLink(directory / "link"))
        self.nodes: list[SteppingNode] = []
        self.closing: list[ExitStack] = []
        for number in (1, 2):
            place = directory / f"node-{number}"
            self.closing.append(stack.enter_context(ExitStack()))
            node = SteppingNode(place, self.superlink)
            self.nodes.append(self.closing[-1].enter_context(node))
        self.runs = [Run(self.superlink) for _ in (1, 2)]
        for run in self.runs:
            stack.callback(run.close)
        for number in range(1, ROUNDS + 1):
            self.round(number)
            if number == 1:
                self.backup = directory / "backup"
                back_up(self.nodes[0].directory, self.backup)

    def round(self, number: int) -> None:
        for run in self.runs:
            for node in self.nodes:
                self.step(run, node, number)

    def step(self, run: Run, node: SteppingNode, number: int, *, fails: bool = False) -> str:
        """Let a node make a step of a run."""
        message = run.message(node.node_id, arrays(float(number)))
        message.metadata.group_id = str(number)
        message_id = run.push(message)
        assert node.receive()
        with clientapp(node) as task:
            if fails:
                task.fail("no data")
            else:
                work(task.context, number)
                task.reply(arrays(2.0))
                task.complete()
        node.idle()
        run.pull(message_id)
        return message_id

    def verify(self) -> Report:
        source = SuperLinkSource(self.superlink.control(), self.directory / "records", 60)
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(answering(node))
            names = tuple(str(run.id) for run in self.runs)
            return Session(source, Selection(names)).verify()


def work(context: Context, number: int) -> None:
    """Add to the state, as an app does that knows nothing of us."""
    history = context.state.metric_records.get("history")
    values = list(history["loss"]) if history else []  # type: ignore[arg-type]
    context.state["history"] = MetricRecord({"loss": [*values, float(number)]})
    context.state["head"] = arrays(float(context.run_id % 1000 + number))["arrays"]


@contextmanager
def answering(node: SteppingNode) -> Iterator[None]:
    """Let a node wait for messages, as its main thread does, and answer for its log."""
    ended = threading.Event()
    answers = LogAnswers(node.store, node.link)
    node.link.on_log_requests = answers.take

    def wait() -> None:
        while not ended.is_set():
            node.link.wait_for_messages()

    thread = threading.Thread(target=wait)
    thread.start()
    requests = node.superlink.app.state.log_requests
    while node.node_id not in requests.answering():
        ended.wait(0.01)
    try:
        yield
    finally:
        ended.set()
        node.superlink.signals.messages.notify()
        thread.join(60)
        answers.close()


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    directory = tmp_path_factory.mktemp("witnessed")
    (directory / "link").mkdir()
    with ExitStack() as stack:
        yield Federation(directory, stack)


def bad(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.level > Level.TOLD]


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in bad(report)}


def test_an_empty_state_has_the_digest_that_the_verifier_expects() -> None:
    context = Context(1, 2, {"partition-id": 0}, RecordDict(), {"seed": 1})
    assert digest_of(SplitContext.split(context)) == EMPTY
    context.state["array"] = ArrayRecord([])
    assert digest_of(SplitContext.split(context)) != EMPTY
    assert digests.state_digest(b"", []) != EMPTY


def test_runs_of_an_app_that_knows_nothing_of_us_pass(federation: Federation) -> None:
    report = federation.verify()
    assert bad(report) == [], [str(each) for each in bad(report)]
    assert report.exit_code == 0
    assert len(report.runs) == 2
    for run in report.runs:
        assert [node.steps for node in run.nodes] == [ROUNDS, ROUNDS]
        assert [node.asked for node in run.nodes] == ["answered"] * 2
        assert run.rounds == ROUNDS
    assert report.signatures == 2 * 2 * ROUNDS


def test_a_failed_step_is_told(federation: Federation) -> None:
    run, node = federation.runs[1], federation.nodes[1]
    federation.step(run, node, 9, fails=True)
    report = federation.verify()
    assert report.exit_code == 0
    (finding,) = (each for each in report.findings if each.kind == "failed-step")
    assert str(finding.place) == f"run {run.id}, node {node.node_id}"
    assert finding.text.endswith("failed: no data")


@contextmanager
def table(federation: Federation, name: str) -> Iterator[Callable[[str], None]]:
    """Give a way to change a table of the SuperLink's, which is undone afterwards."""
    state = federation.superlink.state
    state.query(f"CREATE TABLE kept_{name} AS SELECT * FROM {name}")  # noqa: S608  names of ours

    def change(statement: str) -> None:
        state.query(statement.format(table=name) + " RETURNING number")

    try:
        yield change
    finally:
        state.query(f"DELETE FROM {name}")  # noqa: S608  as above
        state.query(f"INSERT INTO {name} SELECT * FROM kept_{name}")  # noqa: S608  as above
        state.query(f"DROP TABLE kept_{name}")


def test_receipts_that_the_superlink_has_lost_are_missed(federation: Federation) -> None:
    with table(federation, "fedstate_receipt") as change:
        change("DELETE FROM {table} WHERE number IN (2, 3)")
        assert kinds(federation.verify()) == {"missing-receipt"}


def test_a_receipt_that_was_altered_is_found(federation: Federation) -> None:
    with table(federation, "fedstate_receipt") as change:
        change("UPDATE {table} SET record = X'0801' WHERE number = 2")
        assert "malformed-row" in kinds(federation.verify())


def test_receipts_of_two_runs_that_were_exchanged_are_found(federation: Federation) -> None:
    first, second = (run.id - 2**64 if run.id >= 2**63 else run.id for run in federation.runs)
    with table(federation, "fedstate_receipt") as change:
        change(f"UPDATE {{table}} SET run_id = {second} - run_id + {first}")  # noqa: S608
        assert "foreign-run" in kinds(federation.verify())


def test_a_database_that_was_rolled_back_is_found(federation: Federation) -> None:
    with (
        table(federation, "fedstate_receipt") as receipts,
        table(federation, "fedstate_delivery") as deliveries,
    ):
        for change in (receipts, deliveries):
            change("DELETE FROM {table} WHERE number > 6")
        report = federation.verify()
    assert kinds(report) == {"superlink-rolled-back"}
    assert report.exit_code == 1


@contextmanager
def other_store(federation: Federation, directory: Path) -> Iterator[NodeStore]:
    """Let the first node answer with another store, that in a directory."""
    node = federation.nodes[0]
    store, node.store = node.store, NodeStore(directory)
    try:
        yield node.store
    finally:
        node.store.close()
        node.store = store


def test_an_older_backup_is_found(federation: Federation, tmp_path: Path) -> None:
    restore(federation.backup, tmp_path / "state")
    with other_store(federation, tmp_path / "state"):
        report = federation.verify()
    assert kinds(report) == {"older-backup"}
    assert {each.place.node_id for each in bad(report)} == {federation.nodes[0].node_id}


def copied(federation: Federation, target: Path) -> Path:
    """Return a copy of the first node's store as it is now."""
    backup = target.with_name("of now")
    back_up(federation.nodes[0].directory, backup)
    restore(backup, target)
    return target


def swap(store: NodeStore, runs: list[Run]) -> None:
    """Exchange the states of two runs, with the store's own means."""
    series = [series_of(store, run) for run in runs]
    values = [store.context(each) for each in series]
    for run, series_id, value in zip(runs, series, reversed(values), strict=True):
        assert value is not None
        store.set_context(series_id, run.id, value)


def series_of(store: NodeStore, run: Run) -> int:
    return next(each.series_id for each in store.runs() if each.run_id == run.id)


def test_swapped_states_are_found(federation: Federation, tmp_path: Path) -> None:
    with other_store(federation, copied(federation, tmp_path / "state")) as store:
        swap(store, federation.runs)
        report = federation.verify()
    assert {"held-state-differs", "swapped-states"} <= kinds(report)


def test_a_history_of_equal_length_with_other_values_is_found(
    federation: Federation, tmp_path: Path
) -> None:
    run = federation.runs[0]
    with other_store(federation, copied(federation, tmp_path / "state")) as store:
        series_id = series_of(store, run)
        context = federation.nodes[0].state.get_run_series_context(series_id)
        losses = context.state.metric_records["history"]["loss"]
        context.state["history"] = MetricRecord({"loss": [0.0] * len(losses)})
        store.set_context(series_id, run.id, encode_context(SplitContext.split(context)))
        report = federation.verify()
    assert kinds(report) == {"held-state-differs"}


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM step_log WHERE sequence = 3", "dropped-row"),
        ("DELETE FROM step_log WHERE sequence = (SELECT max(sequence) FROM step_log)", None),
    ],
)
def test_rows_that_were_deleted_from_a_store_are_found(
    federation: Federation, tmp_path: Path, statement: str, kind: str | None
) -> None:
    with other_store(federation, copied(federation, tmp_path / "state")) as store:
        store._db.execute(statement)
        report = federation.verify()
    assert report.exit_code == 1
    assert kind is None or kind in kinds(report)


# A store alone.


def test_a_store_that_is_in_use_is_verified_alone_and_not_touched(federation: Federation) -> None:
    directory = federation.nodes[0].directory
    before = {each.name: each.stat().st_mtime_ns for each in directory.iterdir()}
    report = verify_store(directory, None, [], [])
    assert report.exit_code == 0
    assert [each.kind for each in report.findings] == ["no-key"] * 2
    assert [node.steps for run in report.runs for node in run.nodes] == [ROUNDS, ROUNDS]
    after = {each.name: each.stat().st_mtime_ns for each in directory.iterdir()}
    assert after.keys() == before.keys()
    assert after["node.db"] == before["node.db"]
    assert after["node.db-wal"] == before["node.db-wal"]


def test_a_backup_and_a_stopped_store_are_verified_alone(
    federation: Federation, tmp_path: Path
) -> None:
    assert verify_store(federation.backup, None, [], []).exit_code == 0
    state = copied(federation, tmp_path / "state")
    before = {each: each.read_bytes() for each in state.iterdir()}
    assert verify_store(state, None, [], []).exit_code == 0
    assert {each: each.read_bytes() for each in state.iterdir()} == before


def test_the_store_of_a_killed_supernode_is_verified_alone(
    federation: Federation, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for name in ("node.db", "node.db-wal"):
        shutil.copyfile(federation.nodes[0].directory / name, state / name)
    before = {each: each.read_bytes() for each in state.iterdir()}
    assert verify_store(state, None, [], []).exit_code == 0
    assert {each: each.read_bytes() for each in state.iterdir()} == before


def test_tampering_with_a_store_is_found_in_it_alone(
    federation: Federation, tmp_path: Path
) -> None:
    state = copied(federation, tmp_path / "state")
    store: Any = NodeStore(state)
    swap(store, federation.runs)
    store.close()
    report = verify_store(state, None, [], [])
    assert report.exit_code == 1
    assert {"held-state-differs", "swapped-states"} <= kinds(report)


@pytest.mark.parametrize(("owner", "code"), [(0, 0), (1, 1)])
def test_the_command_verifies_a_store_with_the_nodes_public_key_alone(
    federation: Federation, tmp_path: Path, owner: int, code: int
) -> None:
    public = federation.nodes[owner].keys[1].public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    (tmp_path / "node.pub").write_bytes(public)
    done = fedstate(
        *("verify", "--state", federation.nodes[0].directory),
        *("--public-key", tmp_path / "node.pub", "--format", "json"),
    )
    report = json.loads(done.stdout)
    assert done.exit_code == code, report["findings"]
    assert {run["run_id"] for run in report["runs"]} == {str(run.id) for run in federation.runs}
    assert report["signatures"] > 0


def test_the_command_says_in_one_sentence_that_there_is_no_store(tmp_path: Path) -> None:
    done = fedstate("verify", "--state", tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"There is no node store in '{tmp_path}'" in done.stderr
