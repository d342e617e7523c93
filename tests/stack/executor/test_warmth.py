"""A run's messages after its first find imported what its app imports, each in the run's room."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.stack.executor.conftest import Executor, Node
from tests.unit.executor.tasks import app
from tests.waiting import wait_until

from fedstate.local.execute import execute

# Each takes long enough for its import to be worth a report.
LIBRARIES = {
    "slow_library": """
        import os, time
        pid, mode = os.getpid(), os.environ.get("SLOW_MODE")
        time.sleep(0.25)
    """,
    "threaded_library": """
        import os, threading, time
        pid = os.getpid()
        time.sleep(0.25)
        thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)
        thread.start()
    """,
}
ASKED = {"pid": "slow_library.pid", "own": "os.getpid()", "mode": "slow_library.mode"}
Start = Callable[..., Executor]


@pytest.fixture
def executor(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Executor:
    """An executor in whose environment there are the libraries."""
    for name, text in LIBRARIES.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    executor = start("--preload", "numpy", execute=execute)
    executor.fork_server()
    return executor


def until_warm(node: Node, run_id: int) -> dict[str, object]:
    """Ask until a message finds the library imported; return its answer."""

    def warm() -> dict[str, object] | None:
        answer: dict[str, object] = node.answer(run_id, "found", **ASKED)
        return answer if answer["pid"] != answer["own"] else None

    answer = wait_until(warm)
    assert answer
    return answer


def test_what_an_app_imports_is_imported_once_for_its_run(
    fresh_node: Node, executor: Executor
) -> None:
    fresh_node.add_run(2, app("import slow_library"))
    fresh_node.add_run(3, app("import slow_library\nother = 'run'"))
    first = fresh_node.answer(2, "found", **ASKED)
    assert first["pid"] == first["own"]
    warm = until_warm(fresh_node, 2)
    assert fresh_node.answer(2, "found", **ASKED)["pid"] == warm["pid"]
    other = fresh_node.answer(3, "found", **ASKED)
    assert other["pid"] == other["own"], "each run has a room of its own"


def test_a_later_run_of_the_same_app_is_warm_from_its_first_message(
    fresh_node: Node, executor: Executor
) -> None:
    code = app("import slow_library\nthird = 'app'")
    for run_id in (2, 3):
        fresh_node.add_run(run_id, code)
    until_warm(fresh_node, 2)
    first = fresh_node.answer(3, "found", **ASKED)
    assert first["pid"] != first["own"]


def test_the_room_of_an_app_that_sets_a_variable_is_warm_with_it(
    fresh_node: Node, executor: Executor
) -> None:
    code = "import os\nos.environ['SLOW_MODE'] = 'fast'\nimport slow_library"
    fresh_node.add_run(2, app(code))
    assert fresh_node.answer(2, "found", **ASKED)["mode"] == "fast"
    assert until_warm(fresh_node, 2)["mode"] == "fast"
    said = "Run 2: The app sets SLOW_MODE (probe/client_app.py, line 3)"
    assert executor.log.count(said) == 1


def test_what_is_left_to_each_message_is_logged_once(
    fresh_node: Node, executor: Executor
) -> None:
    fresh_node.add_run(2, app("import slow_library, threaded_library"))
    until_warm(fresh_node, 2)
    asked = {"same": "threaded_library.pid == os.getpid()"}
    assert fresh_node.answer(2, "found", **asked) == {"same": True}
    assert executor.log.count("'threaded_library'") == 1
    assert "starts a thread of Python" in executor.log
