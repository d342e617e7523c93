"""What apps of third parties do beside computing, each as it goes on stock Flower or better.

The app is `habits`. Each was run by stock Flower's `flower-superexec` at the same node, too
(flwr 1.42.0, Python 3.11); where that came to something else, the test says to what.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from flwr.cli.build import build_fab_from_files
from tests.stack.executor.conftest import Executor, Node
from tests.waiting import wait_until

from fedstate.flower.errors import ErrorCode
from fedstate.local.execute import execute
from fedstate.process_table import living

HABITS = Path(__file__).parent / "habits"
SQUARES = [0, 1, 4, 9, 16, 25]
# A token is given up after 30 to 60 s; whatever is reported sooner was not left to that.
AT_ONCE = 20.0


def habits_fab(*more: str) -> bytes:
    files: dict[str, bytes | Path] = {
        "pyproject.toml": HABITS / "pyproject.toml",
        "LICENSE": b"none",
        "habits/__init__.py": b"",
        "habits/client_app.py": HABITS / "client_app.py",
    }
    files |= {f"habits/{name}": HABITS / name for name in more}
    return build_fab_from_files(files)[0]


@pytest.fixture(scope="module")
def executor(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """An executor whose tasks are forks."""
    executor = Executor(node, tmp_path_factory.mktemp("executor"), "--preload", "numpy.random")
    executor.fork_server()
    yield executor
    executor.kill_all()


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = Node()
    node.add_run(1, habits_fab(), "fedstate/habits")
    yield node
    node.stop()


def do(node: Node, habit: str, directory: Path | None = None) -> Any:
    return node.answer(1, habit, directory=str(directory or ""))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools(node: Node, executor: Executor, method: str) -> None:
    """Stock: a worker of a fork pool pushes the task's output when the pool stops it.

    The reply is then refused, and the message has none after 75 s.
    """
    answer = do(node, f"{method} pool")
    assert answer["squares"] == SQUARES
    child = answer["child"]
    assert child["pid"] != answer["pid"]
    # The default for SIGTERM is 0.
    assert child["handlers"] == ["0", "<built-in function default_int_handler>"]
    assert child["sockets"] == []
    assert child["threads"] == ["MainThread"]
    assert len(child["argv"]) == 1
    if method != "fork":
        # It has run the main module once more, which is not the executor.
        assert not child["executor"]


def test_many_short_fork_pools(node: Node, executor: Executor) -> None:
    """Stock: no reply, as with one fork pool."""
    totals = [sum(each**2 for each in range(number + 1)) for number in range(40)]
    assert do(node, "short pools")["totals"] == totals


@pytest.mark.parametrize("habit", ["process executor", "joblib"])
def test_executors_of_processes(node: Node, executor: Executor, habit: str) -> None:
    assert do(node, habit)["squares"] == SQUARES


def test_workers_of_a_data_loader(node: Node, executor: Executor) -> None:
    assert do(node, "data loader")["totals"] == [sum(range(40))] * 3


def test_queues_and_shared_memory(node: Node, executor: Executor) -> None:
    expected = {"answer": "filled", "content": "done", "code": 0}
    assert do(node, "queue and memory") == expected


def test_forks_that_come_back(node: Node, executor: Executor, tmp_path: Path) -> None:
    """Stock: what the first fork returns becomes the reply, and the parent's is refused."""
    assert do(node, "forks", tmp_path) == {
        "returns": 0,
        "raises": 1,
        "exits": 7,
        "exits-none": 0,
        "exits-text": 1,
        "leaves": 9,
        "terminated": -15,
    }
    forks = [json.loads(file.read_text()) for file in tmp_path.iterdir()]
    assert len(forks) == 7
    for fork in forks:
        assert fork["handlers"] == ["0", "<built-in function default_int_handler>"]
        assert fork["sockets"] == []
        assert fork["threads"] == ["MainThread"]


def test_programs_of_their_own(node: Node, executor: Executor) -> None:
    # `grep` finds no socket, and says so with 1.
    expected = {"output": "SIG_DFL ['argument']", "stopped": -15, "shell": 1}
    assert do(node, "programs") == expected


def test_an_event_loop_with_programs_threads_and_processes(
    node: Node, executor: Executor
) -> None:
    assert do(node, "event loop")["answers"] == ["42", 0, 25, 16]


def test_the_process_looks_like_a_program_that_has_just_started(
    node: Node, executor: Executor
) -> None:
    """Stock: the token is in `sys.argv`; standard input is the executor's."""
    first, second = do(node, "process"), do(node, "process")
    # Processes that the app starts show it to each other, and to those of no other task.
    assert first.pop("key") != second.pop("key")
    assert first == second
    assert [Path(each).name for each in first["argv"]] == ["flwr-clientapp"]
    assert first["orig_argv"][1:] == first["argv"]
    assert first["main"] == first["argv"][0]
    assert first["stdin"] == ""
    assert first["main thread"]
    assert not first["faulthandler"]
    assert first["child handler"] == "0"
    assert first["blocked"] == []
    assert first["start method"] == "fork"


def test_all_that_is_left_to_the_end_is_done(
    node: Node, executor: Executor, tmp_path: Path
) -> None:
    answer = do(node, "end", tmp_path)
    # The reply did not wait for it.
    assert not (tmp_path / "thread").exists()
    (tmp_path / "go").write_text("")
    wait_until(lambda: not living(answer["pid"]))
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "go": "",
        "unclosed": "flushed",
        "destroyed": "destroyed",
        "atexit": "called",
        "finalized": "called",
        "thread": "ended",
        "executor": "ended",
        "child": "ended",
    }
    wait_until(lambda: "printed without a line's end" in executor.log)


def test_a_thread_that_never_ends_has_five_seconds_and_holds_no_place(
    node: Node, executor: Executor
) -> None:
    """Stock: the same, without the words."""
    pids = [do(node, "never ends")["pid"] for _ in range(4)]
    assert living(pids[-1])
    wait_until(lambda: not any(living(pid) for pid in pids))
    assert "threads of the app still run ('the endless one')" in executor.log


def test_a_destructor_that_never_ends_is_ended(node: Node, executor: Executor) -> None:
    """Stock: the process stays for ever, at full speed."""
    pid = do(node, "hangs")["pid"]
    wait_until(lambda: not living(pid))


@pytest.mark.parametrize(
    ("habit", "code", "reason"),
    [
        ("exit 3", ErrorCode.CLIENT_APP_RAISED, "<class 'SystemExit'>:<'3'>"),
        ("exit", ErrorCode.CLIENT_APP_RAISED, "<class 'SystemExit'>:<''>"),
        (
            "exit with words",
            ErrorCode.CLIENT_APP_RAISED,
            "<class 'SystemExit'>:<'no data today'>",
        ),
        ("interrupt", ErrorCode.CLIENT_APP_RAISED, "<class 'KeyboardInterrupt'>:<''>"),
        (
            "leave",
            ErrorCode.CLIENT_APP_CRASHED,
            "The process of the task ended with exit code 4.",
        ),
        ("kill", ErrorCode.CLIENT_APP_CRASHED, "The process of the task was ended by SIGKILL"),
    ],
)
def test_a_clientapp_that_ends_itself_is_reported_at_once(
    node: Node, executor: Executor, habit: str, code: int, reason: str
) -> None:
    """Stock: nothing, until the token has expired."""
    found, words = node.error(node.ask(1, habit), AT_ONCE)
    assert found == code
    assert words.startswith(reason)


# The same where nothing is preloaded, and a task's process is no fork.


@pytest.fixture(scope="module")
def own_node() -> Iterator[Node]:
    node = Node()
    node.add_run(1, habits_fab(), "fedstate/habits")
    yield node
    node.stop()


@pytest.fixture(scope="module")
def spawning(own_node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    executor = Executor(own_node, tmp_path_factory.mktemp("spawning"), "--preload", "none")
    yield executor
    executor.kill_all()


def test_a_spawned_task_is_such_a_program_too(own_node: Node, spawning: Executor) -> None:
    test_the_process_looks_like_a_program_that_has_just_started(own_node, spawning)


def test_forks_of_a_spawned_task(own_node: Node, spawning: Executor, tmp_path: Path) -> None:
    test_forks_that_come_back(own_node, spawning, tmp_path)


def test_pools_of_a_spawned_task(own_node: Node, spawning: Executor) -> None:
    test_pools(own_node, spawning, "spawn")


def test_the_end_of_a_spawned_task(own_node: Node, spawning: Executor, tmp_path: Path) -> None:
    test_all_that_is_left_to_the_end_is_done(own_node, spawning, tmp_path)


# What needs TensorFlow, in forks of a process that has imported it.


@pytest.fixture(scope="module")
def warm_node() -> Iterator[Node]:
    node = Node()
    node.add_run(1, habits_fab(), "fedstate/habits")
    # An app that sets variables is not run beside what is preloaded.
    node.add_run(2, habits_fab("torch_model.py"), "fedstate/habits")
    yield node
    node.stop()


@pytest.fixture(scope="module")
def warm(warm_node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    executor = Executor(warm_node, tmp_path_factory.mktemp("warm"))
    wait_until(lambda: "Ready:" in executor.log, 180)
    yield executor
    executor.kill_all()


def test_data_of_tensorflow_with_a_function_in_python(warm_node: Node, warm: Executor) -> None:
    answer = do(warm_node, "tf.data")
    assert answer["doubled"] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    wait_until(lambda: not living(answer["pid"]))


def test_pools_beside_an_imported_tensorflow(warm_node: Node, warm: Executor) -> None:
    for method in ("fork", "spawn"):
        test_pools(warm_node, warm, method)


def test_the_end_beside_an_imported_tensorflow(
    warm_node: Node, warm: Executor, tmp_path: Path
) -> None:
    test_all_that_is_left_to_the_end_is_done(warm_node, warm, tmp_path)


@pytest.mark.skipif(
    find_spec("fedstate.executor.bare") is None, reason="Keras's backend is that of the executor"
)
def test_the_backend_of_keras_is_the_apps(warm_node: Node, warm: Executor) -> None:
    assert warm_node.answer(2, "own backend") == {
        "backend": "torch",
        "weights": "torch",
        "learns": True,
    }


# An app with a pinned dependency, of which the executor has preloaded another version.


def make_package(directory: Path, version: str) -> None:
    information = directory / f"tabular-{version}.dist-info"
    (directory / "tabular").mkdir(parents=True)
    (directory / "tabular" / "__init__.py").write_text(f"version = '{version}'\n")
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: tabular\nVersion: {version}\n"
    )
    (information / "WHEEL").write_text(
        "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    (information / "RECORD").touch()


@pytest.mark.skipif(
    find_spec("fedstate.executor.bare") is None, reason="preloaded modules win over pinned ones"
)
def test_the_version_that_an_app_pins_is_the_one_that_it_gets(
    fresh_node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_package(tmp_path / "installed", "1.0")
    make_package(tmp_path / "other", "2.0")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    made = shutil.make_archive(str(wheels / "tabular"), "zip", tmp_path / "other")
    Path(made).rename(wheels / "tabular-2.0-py3-none-any.whl")
    # `uv` finds what is here, and nothing else; flwr is in the environment already.
    with zipfile.ZipFile(wheels / "flwr-1.42.0-py3-none-any.whl", "w") as wheel:
        information = "flwr-1.42.0.dist-info"
        wheel.writestr(
            f"{information}/METADATA", "Metadata-Version: 2.1\nName: flwr\nVersion: 1.42.0\n"
        )
        wheel.writestr(
            f"{information}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{information}/RECORD", "")
    for name, value in (
        ("UV_FIND_LINKS", str(wheels)),
        ("UV_NO_INDEX", "1"),
        ("UV_OFFLINE", "1"),
        ("UV_NO_CACHE", "1"),
    ):
        monkeypatch.setenv(name, value)
    path = [str(tmp_path / "installed"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    project = (HABITS / "pyproject.toml").read_text()
    source = (
        "import importlib.metadata, json, tabular\n"
        "from flwr.app import ConfigRecord, Message, RecordDict\n"
        "from flwr.clientapp import ClientApp\n"
        "app = ClientApp()\n"
        "@app.train()\n"
        "def train(message, context):\n"
        "    found = json.dumps([tabular.version, importlib.metadata.version('tabular')])\n"
        "    answer = RecordDict({'answer': ConfigRecord({'json': found})})\n"
        "    return Message(answer, reply_to=message)\n"
    )
    files: dict[str, bytes | Path] = {
        "pyproject.toml": project.replace('<1.43"', '<1.43", "tabular==2.0"').encode(),
        "LICENSE": b"none",
        "habits/__init__.py": b"",
        "habits/client_app.py": source.encode(),
    }
    fresh_node.add_run(5, build_fab_from_files(files)[0], "fedstate/habits")
    options = ("--preload", "tabular", "--allow-runtime-dependency-installation")
    executor = Executor(fresh_node, tmp_path / "executor", *options, execute=execute)
    try:
        executor.fork_server()
        assert fresh_node.answer(5, "tell") == ["2.0", "2.0"]
    finally:
        executor.kill_all()
