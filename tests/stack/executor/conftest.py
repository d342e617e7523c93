"""A SuperNode's real Runtime API without a SuperLink, and `fedstate executor` beside it.

Tasks and messages are put into flwr's own NodeState, as its SuperNode does when it has received
them; everything from there on, HTTP and authentication included, is what runs in a federation.
"""

import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.cli.build import build_fab_from_files
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory
from tests.open_directory import new_directory
from tests.waiting import wait_until

from fedstate.local.execute import Start
from fedstate.local.launcher import shared_launcher

PROGRAMS = Path(sys.executable).parent
PROBE = Path(__file__).parent / "probe"
NODE_ID = 7
WAIT_SECONDS = 60.0


def children_of(pid: int) -> list[int]:
    """Return the child processes of a process, zombies included."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def probe_fab(project: str | None = None, **replaced: str) -> bytes:
    """Build the probe app; `replaced` gives other content for `name` of its `name.py`."""
    files: dict[str, bytes | Path] = {
        "pyproject.toml": project.encode() if project else PROBE / "pyproject.toml",
        "LICENSE": b"none",
        "probe/__init__.py": b"",
        "probe/client_app.py": PROBE / "client_app.py",
    }
    files |= {f"{name}.py": text.encode() for name, text in replaced.items()}
    return build_fab_from_files(files)[0]


class Node:
    """A SuperNode as far as an executor can see it."""

    def __init__(
        self,
        auth_secret: bytes | None = None,
        prepare: Callable[[FastAPI], None] = lambda _: None,
    ) -> None:
        self.factory = NodeStateFactory(ObjectStoreFactory())
        self.state: Any = self.factory.state()
        self.state.set_node_id(NODE_ID)
        self.store = self.factory.objectstore_factory.store()
        self._replies: dict[str, Message] = {}
        self.app = create_app(self.factory, auth_secret)
        prepare(self.app)
        config = uvicorn.Config(self.app, host="127.0.0.1", port=0, log_level="warning")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        wait_until(lambda: self._server.started)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{port}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def add_run(self, run_id: int, fab: bytes, fab_id: str = "fedstate/probe") -> None:
        """Store what a SuperNode has stored when the first message of a run is there."""
        digest = hashlib.sha256(fab).hexdigest()
        run = replace(
            Run.create_empty(run_id),
            fab_id=fab_id,
            fab_version="1.0.0",
            fab_hash=digest,
            series_id=run_id,
        )
        self.state.store_run(run)
        self.state.store_fab(Fab(digest, fab, {}))
        self.state.set_run_series_context(
            run_id, Context(run_id, NODE_ID, {}, RecordDict(), {}, series_id=run_id)
        )

    def ask(self, run_id: int, do: str, **config: Any) -> str:
        """Give the run's ClientApp a message; return the message's id."""
        return self.give(run_id, RecordDict({"asked": ConfigRecord({"do": do, **config})}))

    def give(self, run_id: int, content: RecordDict) -> str:
        """Give the run's ClientApp a message with this content; return the message's id."""
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run_id, 1, 1
        message = Message(content, dst_node_id=NODE_ID, message_type="train")
        with no_object_id_recompute():
            message.metadata.__dict__["_message_id"] = message.object_id
            self.store.preregister(run_id, get_object_tree(message))
            for object_id, nested in get_all_nested_objects(message).items():
                self.store.put(object_id, nested.deflate())
            self.state.store_message(message)
        fab_hash = self.state.get_run(run_id).fab_hash
        self.state.create_task(TaskType.CLIENT_APP, run_id, fab_hash=fab_hash)
        return message.metadata.message_id

    def reply(self, message_id: str, seconds: float = WAIT_SECONDS) -> Message:
        """Wait for the reply to a message, and for its task to be finished."""
        wait_until(lambda: self._arrived(message_id), seconds)
        wait_until(lambda: not self.tasks("starting", "running"), seconds)
        return self._replies[message_id]

    def reply_content(self, message_id: str) -> RecordDict:
        """Return the content of a reply that has arrived."""
        wait_until(lambda: self._arrived(message_id))
        return self._replies[message_id].content

    def answer(self, run_id: int, do: str, **config: Any) -> Any:
        """Ask, and return what the app answered; a failure fails the test."""
        return self.read(self.reply(self.ask(run_id, do, **config)))

    @staticmethod
    def read(reply: Message) -> Any:
        assert not reply.has_error(), reply.error.reason
        return json.loads(str(reply.content.config_records["answer"]["json"]))

    def error(self, message_id: str, seconds: float = WAIT_SECONDS) -> tuple[int, str]:
        """Wait for the reply to a message; return the code and the reason of its error."""
        error = self.reply(message_id, seconds).error
        return error.code, str(error.reason)

    def tasks(self, *statuses: str) -> list[Any]:
        return list(self.state.get_tasks(statuses=list(statuses)))

    def state_of(self, run_id: int) -> RecordDict:
        """Return the state in the stored Context of the run."""
        context: Context = self.state.get_run_series_context(run_id)
        return context.state

    def steps(self, run_id: int) -> int:
        """Return how many steps the stored Context of the run has seen."""
        records = self.state_of(run_id).metric_records
        return int(str(records["steps"]["count"])) if "steps" in records else 0

    def _object(self, object_id: str) -> bytes:
        return wait_until(lambda: self.store.get(object_id)) or b""

    def _arrived(self, message_id: str) -> bool:
        for message in self.state.get_messages_legacy(is_reply=True):
            reply_id = message.metadata.message_id
            tree = self.store.get_object_tree(reply_id)
            ids = [each.object_id for each in iterate_object_tree(tree)]
            contents = {each: self._object(each) for each in ids}
            reply = inflate_object_from_contents(reply_id, contents)
            assert isinstance(reply, Message)
            self._replies[message.metadata.reply_to_message_id] = reply
        return message_id in self._replies


class Executor:
    """A running `fedstate executor`.

    It is started as a federation starts it, since what it imports first takes longer than most
    tests; with `execute`, from nothing, by which it has an own `PYTHONPATH`.
    """

    def __init__(
        self, node: Node, home: Path, *options: str, execute: Start | None = None
    ) -> None:
        self.log_file = home / "executor.log"
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "FLWR_HOME": str(home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        # Python would flush all that a task prints by itself.
        environment.pop("PYTHONUNBUFFERED", None)
        command = [
            *(str(PROGRAMS / "fedstate"), "executor", "--insecure"),
            *("--runtime-api-address", node.address, *options),
        ]
        self.process = (execute or shared_launcher())(command, environment, self.log_file)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def fork_server(self) -> int:
        """Wait for a fork server that can fork, and return its process id."""
        wait_until(lambda: self.log.count("Ready:") > self.log.count("another takes its place"))
        # Whatever deletes and measures directories of runs is soon over.
        wait_until(lambda: len(children_of(self.pid)) == 1)
        (server,) = children_of(self.pid)
        return server

    @property
    def pid(self) -> int:
        """The executor itself; `process` is the one that watches over it."""
        pid, *_orphans = children_of(self.process.pid)
        return pid

    def children(self) -> list[int]:
        """Return the processes of tasks: the children of those of rooms."""
        return [pid for room in self.rooms() for pid in children_of(room)]

    def rooms(self) -> list[int]:
        """Return the processes of rooms."""
        return children_of(self.fork_server())

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(WAIT_SECONDS)

    def kill_all(self) -> None:
        """End whatever is left of it: it leads a process group of its own."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait(WAIT_SECONDS)


@pytest.fixture
def tmp_path() -> Path:
    """A directory of the test, in which apps can write, too, whoever they are."""
    return new_directory()


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = Node()
    node.add_run(1, probe_fab())
    yield node
    node.stop()


@pytest.fixture
def fresh_node() -> Iterator[Node]:
    """A node that no other test's executor takes tasks from."""
    node = Node()
    node.add_run(1, probe_fab())
    yield node
    node.stop()


@pytest.fixture
def start(fresh_node: Node, tmp_path: Path) -> Iterator[Callable[..., Executor]]:
    """Start an executor with the given options; what is left of it ends with the test."""
    started: list[Executor] = []

    def start_one(*options: str, execute: Start | None = None) -> Executor:
        home = tmp_path / f"executor-{len(started)}"
        started.append(Executor(fresh_node, home, *options, execute=execute))
        return started[-1]

    yield start_one
    for executor in started:
        executor.kill_all()


@pytest.fixture(scope="module")
def executor(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """A warm executor that preloads as little as it can, for tests that leave it unharmed."""
    home = tmp_path_factory.mktemp("executor")
    executor = Executor(node, home, "--preload", "numpy.random")
    executor.fork_server()
    yield executor
    executor.kill_all()
