"""What hundreds of executions leave behind: nothing."""

from collections.abc import Callable
from pathlib import Path

from tests.stack.executor.conftest import Executor, Node, children_of

EXECUTIONS = 500
WARM_UP = 20
GROWTH_BYTES = 8 * 2**20


def test_hundreds_of_executions_leave_nothing_behind(
    fresh_node: Node, start: Callable[..., Executor]
) -> None:
    executor = start("--preload", "numpy", "--max-concurrent-tasks", "4")
    server = executor.fork_server()
    run_many(fresh_node, WARM_UP)
    pids = (executor.process.pid, server)
    before = {pid: footprint(pid) for pid in pids}
    answers = run_many(fresh_node, EXECUTIONS - WARM_UP)
    assert executor.fork_server() == server
    # The room of the run is there until the run ends, with nothing in it.
    (room,) = children_of(server)
    assert children_of(room) == []
    assert len({answer["pid"] for answer in answers}) == len(answers)
    assert {answer["calls"] for answer in answers} == {1}
    assert len({answer["descriptors"] for answer in answers}) <= 3
    for pid in pids:
        descriptors, memory = footprint(pid)
        assert descriptors <= before[pid][0]
        assert memory < before[pid][1] + GROWTH_BYTES


def run_many(node: Node, count: int) -> list[dict[str, int]]:
    messages = [node.ask(1, "tell") for _ in range(count)]
    return [node.read(node.reply(message, seconds=250)) for message in messages]


def footprint(pid: int) -> tuple[int, int]:
    """Return the open descriptors and the resident bytes of a process."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return descriptors, int(status["VmRSS"].split()[0]) * 1024
