"""One ClientApp task from its input to its end, in forks of a process that has imported flwr."""

import base64
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flwr.cli.build import build_fab_from_files
from tests.stack.executor.conftest import PROBE, Node, probe_fab
from tests.unit.executor.conftest import ROOT

from fedstate.executor import worker
from fedstate.flower.errors import ErrorCode
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.flower.tasks import RuntimeApi, TaskSource
from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending
from fedstate.forking.supervisor import ForkServer
from fedstate.waiting import wait_until

SECONDS = 120.0
WELL, FAILED, NOT_REPORTED = Ending(0), Ending(1), Ending(2)
ALL_EVENTS = ["started", "begun", "pulled", "replied", "finished"]


class Process:
    """The process of one task."""

    def __init__(self, server: ForkServer, order: TaskOrder) -> None:
        self._server = server
        self.channel: Channel = server.fork()
        self.channel.send({"task": order.to_json()})
        self.events: list[dict[str, Any]] = []

    def names(self) -> list[str]:
        return [event["event"] for event in self.events]

    def hear(self, seconds: float) -> None:
        select.select([self.channel], [], [], seconds)
        self.events += self.channel.receive()

    def until(self, event: str) -> None:
        assert wait_until(lambda: event in self.names(), SECONDS, sleep=self.hear)

    def end(self) -> Ending:
        """Wait for its end, and return how it ended."""
        if not self.channel.ended:
            assert wait_until(lambda: self.channel.ended, SECONDS, sleep=self.hear)
        pid = self.events[0]["pid"]

        def ended() -> Ending | None:
            self._server.listen()
            return self._server.how_ended(pid)

        ending = wait_until(ended, SECONDS)
        assert ending is not None
        return ending


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = Node()
    node.add_run(1, probe_fab())
    node.add_run(2, probe_fab(**{"probe/client_app": "app = 'no ClientApp'\n"}))
    project = (PROBE / "pyproject.toml").read_text().replace('"probe.client', '"fedstate.client')
    content = {"pyproject.toml": project.encode(), "LICENSE": b"none"}
    names = ("__init__", "client_app")
    node.add_run(
        3, build_fab_from_files({**content, **{f"fedstate/{name}.py": b"" for name in names}})[0]
    )
    yield node
    node.stop()


@pytest.fixture(scope="module")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with forking(worker.__name__, tmp_path_factory) as server:
        yield server


@contextmanager
def forking(entry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    environment = {
        **os.environ,
        "FLWR_HOME": str(tmp_path_factory.mktemp("flwr")),
        "FLWR_TELEMETRY_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    server = ForkServer(
        entry, ("numpy.random", "fedstate.executor.clientapp"), environment=environment
    )

    def ready() -> bool:
        server.listen()
        return server.ready

    assert wait_until(ready, SECONDS)
    yield server
    server.close()


Begin = Callable[..., tuple[str, Process]]


@pytest.fixture
def begin(node: Node, fork_server: ForkServer) -> Begin:
    """Give a run's ClientApp a message; return its ID and the process of its task.

    ``ordered`` is what the order of the task has in place of what the server has given.
    """

    def begin_one(
        do: str, run_id: int = 1, ordered: dict[str, Any] | None = None, **config: Any
    ) -> tuple[str, Process]:
        message_id = node.ask(run_id, do, **config)
        with TaskSource(RuntimeApi(node.address, insecure=True)) as source:
            order = source.acquire([TaskKind.CLIENT_APP])
        assert order is not None
        return message_id, Process(fork_server, replace(order, **(ordered or {})))

    return begin_one


def test_a_step_that_does_well_sends_its_events_in_order(node: Node, begin: Begin) -> None:
    before = node.steps(1)
    message_id, process = begin("tell")
    assert process.end() == WELL
    assert process.names() == ALL_EVENTS
    assert node.read(node.reply(message_id))["calls"] == 1
    assert node.steps(1) == before + 1
    # What the executor would answer the message with.
    assert message_id.encode() in base64.b64decode(process.events[2]["message"])


def test_steps_draw_different_random_numbers(node: Node, begin: Begin) -> None:
    steps = [begin("tell") for _ in range(2)]
    assert [process.end() for _, process in steps] == [WELL, WELL]
    draws = [node.read(node.reply(message_id))["random"] for message_id, _ in steps]
    assert all(first != second for first, second in zip(*draws, strict=True))


def test_a_step_that_fails_answers_with_an_error_and_leaves_the_state(
    node: Node, begin: Begin
) -> None:
    before = node.steps(1)
    message_id, process = begin("fail")
    assert process.end() == FAILED
    assert process.names() == ALL_EVENTS
    code, reason = node.error(message_id)
    assert (code, reason) == (
        ErrorCode.CLIENT_APP_RAISED,
        "<class 'ZeroDivisionError'>:<'as asked'>",
    )
    assert node.steps(1) == before


def test_an_app_without_a_clientapp_has_an_error_of_its_own(node: Node, begin: Begin) -> None:
    message_id, process = begin("tell", run_id=2)
    assert process.end() == FAILED
    code, reason = node.error(message_id)
    assert code == ErrorCode.CLIENT_APP_NOT_LOADED
    assert reason.startswith("<class 'flwr.clientapp.client_app.LoadClientAppError'>")


def test_an_app_that_was_not_ordered_does_not_run(node: Node, begin: Begin) -> None:
    before = node.steps(1)
    message_id, process = begin("tell", ordered={"fab_hash": "0" * 64})
    assert process.end() == FAILED
    code, reason = node.error(message_id)
    assert code == ErrorCode.CLIENT_APP_NOT_LOADED
    assert f"the task is one of {'0' * 64}: it is not installed" in reason
    assert node.steps(1) == before


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (lambda process: process.channel.send({"stop": "The time is up."}), "The time is up."),
        (
            lambda process: process.channel.socket.shutdown(1),
            "The executor of the task has ended.",
        ),
    ],
    ids=["told to", "executor gone"],
)
def test_a_step_that_is_stopped_answers_with_the_reason(
    node: Node,
    begin: Begin,
    tmp_path: Path,
    stop: Callable[[Process], object],
    reason: str,
) -> None:
    before = node.steps(1)
    started = tmp_path / "started"
    message_id, process = begin("wait", started=str(started), until=str(tmp_path / "never"))
    assert wait_until(started.exists, SECONDS)
    stop(process)
    assert process.end() == FAILED
    assert process.names() == ALL_EVENTS
    assert node.error(message_id) == (
        ErrorCode.CLIENT_APP_CRASHED,
        f"<class 'fedstate.executor.clientapp.TaskStopped'>:<'{reason}'>",
    )
    assert node.steps(1) == before


def test_a_step_is_stopped_in_the_midst_of_an_event_loops_callback(
    node: Node, begin: Begin, tmp_path: Path
) -> None:
    """A loop keeps for itself what a callback raises, except for what ends a program."""
    started = tmp_path / "started"
    message_id, process = begin("wait-in-callbacks", started=str(started))
    assert wait_until(started.exists, SECONDS)
    process.channel.send({"stop": "The time is up."})
    assert process.end() == FAILED
    assert "The time is up." in node.error(message_id)[1]


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("exit", "<class 'SystemExit'>:<'3'>"),
        ("cancel", "<class 'asyncio.exceptions.CancelledError'>:<'as asked'>"),
    ],
)
def test_what_is_no_exception_is_an_error_of_the_app_too(
    node: Node, begin: Begin, do: str, reason: str
) -> None:
    before = node.steps(1)
    message_id, process = begin(do)
    assert process.end() == FAILED
    assert process.names() == ALL_EVENTS
    assert node.error(message_id) == (ErrorCode.CLIENT_APP_RAISED, reason)
    assert node.steps(1) == before


def test_an_app_called_as_a_module_of_ours_is_told_what_to_rename(
    node: Node, begin: Begin
) -> None:
    message_id, process = begin("tell", run_id=3)
    assert process.end() == FAILED
    code, reason = node.error(message_id)
    assert code == ErrorCode.CLIENT_APP_NOT_LOADED
    assert "a package or module 'fedstate'" in reason
    assert "rename 'fedstate' in the app" in reason


def test_a_process_that_cannot_report_leaves_it_to_the_executor(
    node: Node, fork_server: ForkServer
) -> None:
    order = TaskOrder(TaskKind.CLIENT_APP, 1, "nobody's token", node.address, insecure=True)
    process = Process(fork_server, order)
    assert process.end() == NOT_REPORTED
    assert process.names() == ["started"]


def test_a_step_that_is_over_ends_without_a_word(
    node: Node, begin: Begin, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    started = tmp_path / "started"
    message_id, process = begin("wait", started=str(started), until=str(tmp_path / "never"))
    assert wait_until(started.exists, SECONDS)
    process.channel.send({"stop": "The run has ended.", "over": True})
    assert process.end() == NOT_REPORTED
    assert process.names() == ["started", "begun", "pulled"]
    replies = node.state.get_messages_legacy(run_ids=[1], is_reply=True)
    assert message_id not in [each.metadata.reply_to_message_id for each in replies]
    assert "Traceback" not in capfd.readouterr().err


def test_a_process_whose_executor_and_server_are_gone_ends_though_it_is_sending(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It ignores signals then, and flwr tries to send for ever."""
    node = Node()
    node.add_run(1, probe_fab())
    started, until = tmp_path / "started", tmp_path / "until"
    try:
        node.ask(1, "wait", started=str(started), until=str(until))
        with TaskSource(RuntimeApi(node.address, insecure=True)) as source:
            order = source.acquire([TaskKind.CLIENT_APP])
        assert order is not None
        with forking("tests.unit.executor.impatient", tmp_path_factory) as server:
            process = Process(server, order)
            assert wait_until(started.exists, SECONDS)
            node.stop()
            until.touch()
            process.until("pulled")
            process.channel.socket.shutdown(1)
            assert process.end() == NOT_REPORTED
            assert process.names() == ["started", "begun", "pulled"]
    finally:
        node.stop()
