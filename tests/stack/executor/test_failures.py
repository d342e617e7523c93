"""A step either has a reply and a stored Context, or an error reply and the Context as it was."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response
from flwr.common.constant import ErrorCode
from starlette.middleware.base import RequestResponseEndpoint
from tests.stack.executor.conftest import Executor, Node, probe_fab
from tests.waiting import wait_until

from fedstate.process_table import living

# A token is given up after 30 to 60 s; whatever is reported sooner was not left to that.
AT_ONCE = 20.0


def test_an_exception_leaves_no_trace_in_the_state(node: Node, executor: Executor) -> None:
    before = node.steps(1)
    code, reason = node.error(node.ask(1, "fail"))
    assert code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert "as asked" in reason
    assert node.steps(1) == before


def test_a_killed_child_is_reported_at_once(node: Node, executor: Executor) -> None:
    before = node.steps(1)
    code, reason = node.error(node.ask(1, "die"), AT_ONCE)
    assert code == ErrorCode.CLIENT_APP_CRASHED
    assert "SIGKILL" in reason
    assert node.steps(1) == before
    assert node.answer(1, "tell")["calls"] == 1


def test_a_child_that_leaves_is_reported_at_once(node: Node, executor: Executor) -> None:
    _, reason = node.error(node.ask(1, "leave"), AT_ONCE)
    assert "exit code 3" in reason


def test_a_large_context_is_stored(node: Node, executor: Executor) -> None:
    node.answer(1, "keep", bytes=200_000_000)
    # flwr's SuperNode marks the task as finished first, and then unpacks the Context.
    wait_until(lambda: "kept" in node.state_of(1))
    kept = node.state_of(1).array_records["kept"]
    assert len(next(iter(kept.values())).data) > 200_000_000


def test_a_task_past_its_time_limit_is_stopped(
    fresh_node: Node, start: Callable[..., Executor], tmp_path: Path
) -> None:
    start("--preload", "numpy", "--task-time-limit", "3")
    started, until = tmp_path / "started", tmp_path / "until"
    message = fresh_node.ask(1, "wait", started=str(started), until=str(until))
    _, reason = fresh_node.error(message)
    assert "time limit of 3 s" in reason
    assert fresh_node.steps(1) == 0
    wait_until(lambda: not living(int(started.read_text())))


def test_a_task_that_does_not_heed_is_killed(
    fresh_node: Node, start: Callable[..., Executor], tmp_path: Path
) -> None:
    start("--preload", "numpy", "--task-time-limit", "3")
    started, until = tmp_path / "started", tmp_path / "until"
    message = fresh_node.ask(1, "wait-deaf", started=str(started), until=str(until))
    _, reason = fresh_node.error(message)
    assert "time limit of 3 s" in reason
    assert not living(int(started.read_text()))


def test_a_killed_fork_server_comes_back_and_its_child_goes_on(
    fresh_node: Node, start: Callable[..., Executor], tmp_path: Path
) -> None:
    executor = start("--preload", "numpy")
    started, until = tmp_path / "started", tmp_path / "until"
    under_way = fresh_node.ask(1, "wait", started=str(started), until=str(until))
    wait_until(started.exists)
    before = executor.fork_server()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: "another takes its place" in executor.log)
    until.touch()
    assert fresh_node.read(fresh_node.reply(under_way))["pid"] == int(started.read_text())
    assert executor.fork_server() != before
    assert fresh_node.answer(1, "tell")["calls"] == 1
    wait_until(lambda: fresh_node.steps(1) == 2)


def test_an_orphan_that_dies_is_reported(
    fresh_node: Node, start: Callable[..., Executor], tmp_path: Path
) -> None:
    executor = start("--preload", "numpy")
    started, until = tmp_path / "started", tmp_path / "until"
    under_way = fresh_node.ask(1, "wait", started=str(started), until=str(until))
    wait_until(started.exists)
    os.kill(executor.fork_server(), signal.SIGKILL)
    wait_until(lambda: "another takes its place" in executor.log)
    os.kill(int(started.read_text()), signal.SIGKILL)
    assert fresh_node.reply(under_way, AT_ONCE).has_error()
    assert fresh_node.answer(1, "tell")["calls"] == 1


def test_tasks_asked_of_a_dying_fork_server_are_asked_again(
    fresh_node: Node, start: Callable[..., Executor]
) -> None:
    executor = start("--preload", "numpy")
    server = executor.fork_server()
    # Stopped, it takes no request; killed then, it has forked for none.
    os.kill(server, signal.SIGSTOP)
    message = fresh_node.ask(1, "tell")
    wait_until(lambda: fresh_node.tasks("starting"))
    os.kill(server, signal.SIGKILL)
    assert fresh_node.read(fresh_node.reply(message, AT_ONCE))["calls"] == 1


def test_a_killed_executor_takes_its_children_with_it(
    fresh_node: Node, start: Callable[..., Executor], tmp_path: Path
) -> None:
    executor = start("--preload", "numpy")
    started, until = tmp_path / "started", tmp_path / "until"
    under_way = fresh_node.ask(1, "wait", started=str(started), until=str(until))
    wait_until(started.exists)
    server = executor.fork_server()
    os.kill(executor.process.pid, signal.SIGKILL)
    _, reason = fresh_node.error(under_way, AT_ONCE)
    assert "executor of the task has ended" in reason
    wait_until(lambda: not living(server) and not living(int(started.read_text())))
    start("--preload", "numpy")
    assert fresh_node.answer(1, "tell")["calls"] == 1
    wait_until(lambda: fresh_node.steps(1) == 1)


def test_a_stopped_executor_ends_its_tasks_in_order(
    fresh_node: Node, start: Callable[..., Executor], tmp_path: Path
) -> None:
    executor = start("--preload", "numpy")
    started, until = tmp_path / "started", tmp_path / "until"
    under_way = fresh_node.ask(1, "wait", started=str(started), until=str(until))
    wait_until(started.exists)
    server = executor.fork_server()
    began = time.monotonic()
    assert executor.stop() == 0
    assert time.monotonic() - began < AT_ONCE
    _, reason = fresh_node.error(under_way, AT_ONCE)
    assert "was stopped" in reason
    assert not living(server)
    assert not living(int(started.read_text()))


def test_a_context_beyond_the_limit_fails_the_step_and_keeps_the_state(
    fresh_node: Node, tmp_path: Path
) -> None:
    """The limit is lowered: 2 GiB of state do not fit into the time of a test."""
    message = fresh_node.ask(1, "keep", bytes=5000)
    (task,) = fresh_node.tasks("pending")
    token = fresh_node.state.claim_task(task.task_id)
    script = f"""
import os
from fedstate import limits
from fedstate.executor import clientapp
from fedstate.executor.bare import Handover
from fedstate.forking.channel import Channel
from fedstate.flower.task_order import TaskKind, TaskOrder
limits.CONTEXT_BYTES = 1000
order = TaskOrder(TaskKind.CLIENT_APP, {task.task_id}, {token!r}, {fresh_node.address!r}, True)
handover = Handover(order, Channel.pair()[0], dict(os.environ))
raise SystemExit(clientapp.run_clientapp(handover, lambda event: True, lambda: ""))
"""
    environment = {**os.environ, "FLWR_HOME": str(tmp_path), "FLWR_TELEMETRY_ENABLED": "0"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == 1
    _, reason = fresh_node.error(message)
    assert "bytes, and at most 1000 can be sent" in reason
    assert fresh_node.steps(1) == 0
    assert "kept" not in fresh_node.state_of(1)


@pytest.fixture
def failing_node() -> Iterator[tuple[Node, threading.Event]]:
    """A node whose database is busy, as it were, until the event is set."""
    works = threading.Event()

    def prepare(app: FastAPI) -> None:
        @app.middleware("http")
        async def fail(request: Request, go_on: RequestResponseEndpoint) -> Response:
            if request.url.path.endswith("acquire-task") and not works.is_set():
                return Response(status_code=500)
            return await go_on(request)

    node = Node(prepare=prepare)
    node.add_run(1, probe_fab())
    yield node, works
    node.stop()


def test_a_server_error_passes(
    failing_node: tuple[Node, threading.Event], tmp_path: Path
) -> None:
    node, works = failing_node
    executor = Executor(node, tmp_path, "--preload", "numpy")
    try:
        message = node.ask(1, "tell")
        wait_until(lambda: "500" in executor.log)
        works.set()
        assert node.read(node.reply(message))["calls"] == 1
        assert "The server is reached." in executor.log
    finally:
        executor.kill_all()
