"""Every message gets a fresh process, and nothing of another task is in it."""

from pathlib import Path

from tests.stack.executor.conftest import PROBE, Executor, Node, probe_fab
from tests.waiting import wait_until


def test_a_module_global_does_not_survive(node: Node, executor: Executor) -> None:
    first, second = node.answer(1, "tell"), node.answer(1, "tell")
    assert (first["calls"], second["calls"]) == (1, 1)
    assert first["pid"] != second["pid"]


def test_the_context_does_survive(node: Node, executor: Executor) -> None:
    before = node.steps(1)
    node.answer(1, "tell")
    node.answer(1, "tell")
    wait_until(lambda: node.steps(1) == before + 2)


def test_the_fork_server_has_imported_what_was_asked(node: Node, executor: Executor) -> None:
    modules = node.answer(1, "tell")["modules"]
    assert "numpy" in modules
    assert "tensorflow" not in modules


def test_another_version_of_an_app_is_not_seen(node: Node, executor: Executor) -> None:
    source = (PROBE / "client_app.py").read_text()
    node.add_run(2, probe_fab(**{"probe/client_app": source + "\nother = 'version'\n"}))
    first, second = node.answer(1, "tell"), node.answer(2, "tell")
    assert first["file"] != second["file"]
    assert Path(second["file"]).read_text().endswith("other = 'version'\n")


def test_an_app_cannot_put_itself_in_place_of_the_library(node: Node, executor: Executor) -> None:
    fake = "raise ImportError('the wrong fedstate')\n"
    node.add_run(3, probe_fab(**{"fedstate/__init__": fake, "fedstate/errors": fake}))
    assert node.answer(3, "tell")["calls"] == 1


def test_children_draw_different_random_numbers(node: Node, executor: Executor) -> None:
    draws = [node.answer(1, "tell")["random"] for _ in range(3)]
    assert len({tuple(draw) for draw in draws}) == 3
    assert len({draw[0] for draw in draws}) == 3
    assert len({draw[1] for draw in draws}) == 3


def test_the_token_is_on_no_command_line_and_in_no_environment(
    node: Node, executor: Executor, tmp_path: Path
) -> None:
    started, until = tmp_path / "started", tmp_path / "until"
    message = node.ask(1, "wait", started=str(started), until=str(until))
    wait_until(started.exists)
    (record,) = node.state.task_token_store.values()
    processes = [executor.process.pid, executor.fork_server(), *executor.children()]
    assert len(processes) == 3
    for pid in processes:
        for name in ("cmdline", "environ"):
            assert record.token.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    until.touch()
    node.reply(message)


def test_what_an_app_prints_is_not_lost(node: Node, executor: Executor) -> None:
    node.answer(1, "say", text="said without a flush")
    wait_until(lambda: "said without a flush" in executor.log)


def test_signals_of_the_fork_server_are_not_inherited(node: Node, executor: Executor) -> None:
    assert not node.answer(1, "tell")["ignores children"]
