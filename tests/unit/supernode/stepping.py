"""A SuperNode's steps with a real store and node state, at a SuperLink in this process."""

import logging
import threading
from pathlib import Path

import pytest
from flwr.app import Error, Message, MetricRecord
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import (
    Connection,
    SuperLink,
    arrays,
    reply_to,
)
from tests.waiting import wait_until

from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi
from fedstate.flower.nodestate import durable_node_state
from fedstate.flower.runs import Fab
from fedstate.flower.stored_values import error_reply
from fedstate.large.context import SplitContext
from fedstate.store.node_store import NodeStore
from fedstate.supernode.admission import Admission
from fedstate.supernode.link import Link
from fedstate.supernode.membership import Membership
from fedstate.supernode.runs import Runs
from fedstate.supernode.screening import Screening
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
        self.screening = Screening(None)
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
            admission=Admission(
                self.state, self.link, {}, self._fab_problem, lambda: self.screening.rules
            ),
            concurrency=2,
            on_change=self.changes.release,
            retry_seconds=0.01,
            runs=Runs(self.store.runs()),
        )

    def _fab_problem(self, fab: Fab) -> str | None:
        return self.refused or self.screening(fab)

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


def errors_of_ours(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    ours = [each for each in log.records if each.name == "flwr.fedstate"]
    return [each for each in ours if each.levelno >= logging.ERROR]


def no_complaints(log: pytest.LogCaptureFixture) -> bool:
    """Whether the node has logged no warning and no error; the SuperLink may have."""
    ours = [each for each in log.records if each.name == "flwr.fedstate"]
    return not [each for each in ours if each.levelno >= logging.WARNING]
