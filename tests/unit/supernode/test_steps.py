"""Steps with a real store, a real node state, and flwr's real SuperLink in this process."""

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from flwr.app import Error, Message, MetricRecord
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import (
    Connection,
    Fault,
    Handle,
    SuperLink,
    answers,
    arrays,
    breaks,
    reply_to,
)
from tests.waiting import wait_until

from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi
from fedstate.flower.errors import ErrorCode, UnauthorizedError
from fedstate.flower.nodestate import durable_node_state
from fedstate.flower.runs import Fab
from fedstate.flower.stored_values import Envelope, error_reply
from fedstate.large.context import SplitContext
from fedstate.store.node_store import NodeStore
from fedstate.supernode.admission import Admission
from fedstate.supernode.link import Link
from fedstate.supernode.membership import Membership
from fedstate.supernode.session import SessionFile
from fedstate.supernode.step import Step
from fedstate.supernode.steps import Steps

REPLY = "push-reply"


class Node:
    """A SuperNode's steps, and what its executors and ClientApps do."""

    def __init__(self, superlink: SuperLink, directory: Path) -> None:
        self.superlink = superlink
        self.directory = directory
        directory.mkdir()
        self.connection: Connection = superlink.connection()
        self.api: FleetApi = superlink.api(self.connection, key_pair())
        self.session = SessionFile(directory / "session", PATIENCE_SECONDS)
        self.membership = Membership(self.api, self.session, register=True)
        self.membership.join()
        self.refused: str | None = None
        self.start()

    def start(self) -> None:
        """Start what a SuperNode has in memory."""
        self.store = NodeStore(self.directory / "state")
        self.state = durable_node_state(self.store)
        self.state.set_node_id(self.membership.node_id)
        self.link = Link(self.api, self.membership)
        self.changes = threading.Semaphore(0)
        self.steps = Steps(
            self.state,
            self.link,
            admission=Admission(self.state, self.link, {}, self._fab_problem),
            concurrency=2,
            on_change=self.changes.release,
            retry_seconds=0.01,
        )

    def _fab_problem(self, _fab: Fab) -> str | None:
        return self.refused

    def kill(self) -> None:
        """End the steps without a word; the next ones find what the store has."""
        self.steps.close()
        self.store.close()

    def send(self, run_id: int) -> str:
        return self.superlink.send(run_id, self.api.node_id, arrays(10))

    def pull(self) -> None:
        assert self.link.receive(self.steps.receive)

    def pull_new(self, run_id: int) -> str:
        """Send a message of a run, and pull it."""
        message_id = self.send(run_id)
        self.pull()
        return message_id

    def tasks(self, run_id: int) -> list[int]:
        """Return the tasks of a run that an executor can take."""
        tasks = self.state.get_tasks(run_ids=[run_id], statuses=["pending"])
        return [int(task.task_id) for task in tasks]

    def take_task(self, run_id: int) -> Step:
        """Take the next task of a run, as an executor does; return its step."""
        task_id = wait_until(lambda: self.tasks(run_id))[0]
        assert self.state.claim_task(task_id)
        assert self.state.activate_task(task_id)
        step = self.steps.of_task(task_id)
        assert step is not None
        return step

    def train(self, step: Step, error: Error | None = None) -> None:
        """Do what a ClientApp does: count in its state, push a reply, push its Context."""
        (message,) = self.state.get_messages_legacy(
            run_ids=[step.run_id], is_reply=False, limit=1
        )
        assert message.metadata.message_id == step.message_id
        self.state.record_message_processing_start(step.message_id)
        context = self.state.get_run_series_context(step.series_id)
        assert context is not None
        context.state["count"] = MetricRecord({"n": self.count(step.series_id) + 1})
        if error is None:
            envelope, objects = reply_to(step.envelope, arrays(20))
        else:
            envelope, objects = error_reply(message, error)
        session = self.state.start_session(step.run_id)
        self.state.record_message_processing_end(step.message_id)
        stored, wanted = self.state.store_message_and_object_tree(
            envelope.message, envelope.tree, session
        )
        assert stored
        for object_id in wanted:
            assert self.state.store_object(step.run_id, session, object_id, objects[object_id])
        self.steps.complete(step, SplitContext.split(context))

    def count(self, series_id: int) -> int:
        """Return how many steps of a run series the committed state has seen."""
        context = self.state.get_run_series_context(series_id)
        assert context is not None
        record = context.state.get("count")
        if record is None:
            return 0
        assert isinstance(record, MetricRecord)
        return int(str(record["n"]))

    def status(self, message_id: str) -> str | None:
        stored = self.store.step(message_id)
        return stored.status if stored else None

    def wait_for_end(self) -> None:
        wait_until(lambda: not self.steps.under_way or self.steps.failure)
        if self.steps.failure is not None:
            raise self.steps.failure

    def reply(self, run_id: int, message_id: str) -> Message:
        """Return the reply that the ServerApp gets."""
        reply = wait_until(lambda: self.superlink.take_reply(run_id, message_id))
        assert reply is not None
        return reply


@pytest.fixture
def node(superlink: SuperLink, tmp_path: Path) -> Iterator[Node]:
    node = Node(superlink, tmp_path / "node")
    with closing(node.session):
        yield node
        node.kill()
        node.membership.leave(for_good=True)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="flwr.fedstate")
    return caplog


@pytest.fixture
def run_id(superlink: SuperLink) -> int:
    return superlink.start_run()


def test_a_reply_leaves_after_its_state_is_durable_and_is_noted_after_that(
    node: Node, run_id: int, log: pytest.LogCaptureFixture
) -> None:
    message_id = node.pull_new(run_id)
    assert node.status(message_id) == "received"
    statuses = []

    def look(handle: Handle) -> httpx.Response:
        statuses.append((node.status(message_id), node.count(step.series_id)))
        return handle()

    node.connection.plan(REPLY, look)
    step = node.take_task(run_id)
    node.train(step)
    node.wait_for_end()
    assert statuses == [("committed", 1)]
    assert node.status(message_id) == "answered"
    assert not node.reply(run_id, message_id).has_error()
    assert log.text.count("Sent successfully") == 1
    # Nothing of it is left in memory, nor at the SuperLink.
    assert node.state.reply_to(message_id) is None
    assert len(node.state.object_store) == 0
    assert not node.superlink.keeps(message_id)


def test_a_full_disk_fails_the_step_and_keeps_the_state(node: Node, run_id: int) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    # SQLite then says the same as on a disk that is full.
    (pages,) = node.store._db.execute("PRAGMA page_count").fetchone()
    node.store._db.execute(f"PRAGMA max_page_count = {pages}")
    filler = arrays(200_000)
    (message,) = node.state.get_messages_legacy(run_ids=[run_id], is_reply=False, limit=1)
    envelope, objects = reply_to(step.envelope, filler)
    session = node.state.start_session(run_id)
    _, wanted = node.state.store_message_and_object_tree(envelope.message, envelope.tree, session)
    for object_id in wanted:
        assert node.state.store_object(run_id, session, object_id, objects[object_id])
    context = node.state.get_run_series_context(step.series_id)
    assert context is not None
    node.steps.complete(step, SplitContext.split(context))
    reply = node.reply(run_id, message.metadata.message_id)
    assert reply.has_error()
    assert "is full" in (reply.error.reason or "")
    assert node.count(step.series_id) == 0
    node.store._db.execute("PRAGMA max_page_count = 1000000")
    node.wait_for_end()
    # Its message may be sent again, and then the step is made.
    node.superlink.send_again(message_id)
    node.pull()
    node.train(node.take_task(run_id))
    assert not node.reply(run_id, message_id).has_error()
    assert node.count(step.series_id) == 1


def test_a_message_that_comes_again_while_its_reply_is_on_its_way_is_answered_twice(
    node: Node, run_id: int
) -> None:
    message_id = node.pull_new(run_id)
    first: list[Message | None] = []

    def ask_again(handle: Handle) -> httpx.Response:
        """The ServerApp takes the reply, loses it and asks again, all before the node knows."""
        response = handle()
        first.append(node.superlink.take_reply(run_id, message_id))
        node.superlink.send_again(message_id)
        node.pull()
        return response

    node.connection.plan(REPLY, ask_again)
    step = node.take_task(run_id)
    node.train(step)
    node.wait_for_end()
    (taken,) = first
    assert taken is not None
    assert node.reply(run_id, message_id).metadata.message_id == taken.metadata.message_id
    assert node.count(step.series_id) == 1


@pytest.mark.parametrize("killed", [False, True])
def test_a_message_that_was_answered_is_answered_again_also_by_the_next_supernode(
    node: Node, run_id: int, killed: bool
) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    node.train(step)
    node.wait_for_end()
    taken = node.reply(run_id, message_id)
    node.superlink.send_again(message_id)
    if killed:
        # As if it were killed when the message is durable, and before its turn.
        node.steps._turns.close()
        node.pull()
        node.kill()
        node.start()
        node.steps.resume()
    else:
        node.pull()
    assert node.reply(run_id, message_id).metadata.message_id == taken.metadata.message_id
    node.wait_for_end()
    assert node.status(message_id) == "answered"
    assert node.count(step.series_id) == 1


def test_a_message_that_is_pulled_twice_is_one_step(node: Node, run_id: int) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    node.steps.receive(step.envelope)
    node.train(step)
    node.wait_for_end()
    assert node.count(step.series_id) == 1
    assert not node.tasks(run_id)
    assert node.status(message_id) == "answered"


def test_steps_of_a_series_follow_each_other_and_those_of_others_do_not_wait(
    node: Node, superlink: SuperLink, run_id: int
) -> None:
    other = superlink.start_run()
    messages = [node.pull_new(run_id) for _ in range(3)]
    node.pull_new(other)
    first, elsewhere = node.take_task(run_id), node.take_task(other)
    assert first.message_id == messages[0]
    assert not node.tasks(run_id)
    node.train(first)
    second = node.take_task(run_id)
    assert second.message_id == messages[1]
    node.train(elsewhere)
    node.train(second)
    third = node.take_task(run_id)
    assert third.message_id == messages[2]
    node.train(third)
    node.wait_for_end()
    assert node.count(first.series_id) == 3
    assert node.count(elsewhere.series_id) == 1


def test_the_next_supernode_goes_on_with_what_the_last_one_left(
    node: Node, superlink: SuperLink, run_id: int
) -> None:
    other = superlink.start_run()
    waiting = node.pull_new(run_id)
    node.take_task(run_id)
    committed = node.pull_new(other)
    node.connection.down(REPLY, breaks(httpx.ConnectError, after=False))
    step = node.take_task(other)
    node.train(step)
    assert node.status(committed) == "committed"
    node.steps.close()
    node.connection.up()
    reply = node.store.reply(committed)
    assert reply is not None
    node.store.close()

    node.start()
    node.steps.resume()
    assert not node.reply(other, committed).has_error()
    node.train(node.take_task(run_id))
    assert not node.reply(run_id, waiting).has_error()
    node.wait_for_end()
    assert node.count(step.series_id) == 1


def test_a_reply_that_is_refused_was_not_sent(
    node: Node, run_id: int, log: pytest.LogCaptureFixture
) -> None:
    message_id = node.pull_new(run_id)
    node.connection.plan(REPLY, answers(400))
    node.train(node.take_task(run_id))
    node.wait_for_end()
    errors = errors_of_ours(log)
    assert len(errors) == 1
    assert f"The reply to {message_id} was refused." in errors[0].getMessage()
    assert "Sent successfully" not in log.text
    assert node.status(message_id) == "answered"


@pytest.mark.parametrize(
    "faults",
    [
        (answers(500), answers(500)),
        (breaks(httpx.ReadError, after=True),),
        (answers(200, b"\xff<html>"),),
    ],
)
def test_a_reply_that_did_not_arrive_is_sent_until_it_does(
    node: Node, run_id: int, faults: tuple[Fault, ...], log: pytest.LogCaptureFixture
) -> None:
    message_id = node.pull_new(run_id)
    node.connection.plan(REPLY, *faults)
    step = node.take_task(run_id)
    node.train(step)
    assert not node.reply(run_id, message_id).has_error()
    node.wait_for_end()
    assert node.count(step.series_id) == 1
    # The SuperLink may complain of a reply that comes once more when its message is gone.
    assert not errors_of_ours(log)


def errors_of_ours(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    ours = [each for each in log.records if each.name == "flwr.fedstate"]
    return [each for each in ours if each.levelno >= logging.ERROR]


def no_complaints(log: pytest.LogCaptureFixture) -> bool:
    """Whether the node has logged no warning and no error; the SuperLink may have."""
    ours = [each for each in log.records if each.name == "flwr.fedstate"]
    return not [each for each in ours if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("when", ["pulled", "trained", "sent"])
def test_the_end_of_a_run_is_no_error(
    node: Node, superlink: SuperLink, run_id: int, when: str, log: pytest.LogCaptureFixture
) -> None:
    def end(handle: Handle) -> httpx.Response:
        superlink.end_run(run_id)
        return handle()

    if when == "pulled":
        node.connection.plan("pull-objects", end)
    message_id = node.pull_new(run_id)
    if when != "pulled":
        step = node.take_task(run_id)
        node.connection.plan(REPLY, end)
        if when == "trained":
            superlink.end_run(run_id)
            node.connection.up()
        node.train(step)
    node.wait_for_end()
    # What was committed stays known: if the SuperLink is mistaken, it must not be made again.
    assert node.status(message_id) == (None if when == "pulled" else "answered")
    assert f"Run {run_id} has ended; its step is dropped." in log.text
    assert "Sent successfully" not in log.text
    assert no_complaints(log)


def test_a_message_of_a_run_that_has_ended_is_ignored(
    node: Node, superlink: SuperLink, run_id: int, log: pytest.LogCaptureFixture
) -> None:
    node.send(run_id)

    def late(envelope: Envelope) -> None:
        superlink.end_run(run_id)
        node.steps.receive(envelope)

    assert node.link.receive(late)
    assert not node.steps.under_way
    assert f"Run {run_id} has ended; its message is ignored." in log.text
    assert no_complaints(log)


def test_a_message_that_cannot_be_kept_is_answered_before_the_next_is_pulled(
    node: Node, run_id: int
) -> None:
    node.refused = "The FAB could not be verified."
    node.connection.plan(REPLY, answers(500))
    message_id = node.pull_new(run_id)
    reply = node.superlink.take_reply(run_id, message_id)
    assert reply is not None
    assert reply.error.code == ErrorCode.INVALID_FAB
    assert node.status(message_id) is None
    assert not node.steps.under_way


@pytest.mark.parametrize("how", ["error", "failed", "silent", "expired"])
def test_a_step_that_fails_leaves_nothing(node: Node, run_id: int, how: str) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    if how == "error":
        node.train(step, Error(ErrorCode.CLIENT_APP_RAISED, "raised"))
    elif how == "failed":
        node.steps.fail(step, "The ClientApp vanished.")
    elif how == "silent":
        context = node.state.get_run_series_context(step.series_id)
        assert context is not None
        node.steps.complete(step, SplitContext.split(context))
    else:
        assert step.task_id is not None
        node.state.expire_tasks([step.task_id])
    reply = node.reply(run_id, message_id)
    expected = ErrorCode.CLIENT_APP_RAISED if how == "error" else ErrorCode.CLIENT_APP_CRASHED
    assert reply.error.code == expected
    node.wait_for_end()
    assert node.status(message_id) is None
    assert node.count(step.series_id) == 0
    assert len(node.state.object_store) == 0
    # What is heard of it afterwards changes nothing.
    node.steps.fail(step, "again")
    assert not node.steps.under_way


def test_a_key_that_is_not_accepted_any_longer_ends_the_supernode(
    node: Node, run_id: int
) -> None:
    message_id = node.pull_new(run_id)
    node.connection.plan(REPLY, answers(401))
    node.train(node.take_task(run_id))
    wait_until(lambda: node.steps.failure)
    assert isinstance(node.steps.failure, UnauthorizedError)
    assert node.changes.acquire(timeout=30)
    assert node.status(message_id) == "committed"


def test_after_the_end_nothing_starts(node: Node, run_id: int) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    node.steps.close()
    node.train(step)
    assert node.status(message_id) == "committed"
    assert node.steps.under_way
    assert node.connection.count(REPLY) == 0
