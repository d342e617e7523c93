"""What is real here: fork servers and processes, and flwr's Runtime API on a loopback port."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint
from tests.open_directory import new_directory
from tests.stack.executor.conftest import Node, probe_fab

from fedstate.exchange.routes import runtime_router, serve
from fedstate.exchange.signals import Signals
from fedstate.executor import rooms
from fedstate.executor.pool import Limits, TaskPool
from fedstate.executor.room_settings import RoomSettings
from fedstate.executor.rooms import Rooms
from fedstate.executor.task import Task
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.flower.tasks import RuntimeApi, TaskSource
from fedstate.forking.supervisor import ForkServers
from fedstate.waiting import wait_until
from fedstate.walls import Offered, landlock

ROOT = Path(__file__).parents[3]
SCRIPTED = "tests.unit.executor.scripted"
FAB = "f" * 64
SECONDS = 60.0


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Reports(list[tuple[int, str]]):
    """The failures that a pool reports, as task ID and reason, and the tasks themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[Task] = []

    def __call__(self, task: Task, reason: str) -> None:
        self.tasks.append(task)
        self.append((task.order.task_id, reason))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def make_pool(clock: Clock, reports: Reports) -> Iterator[Callable[..., TaskPool]]:
    """Make pools whose tasks do what their tokens say."""
    pools: list[TaskPool] = []

    def make(
        limits: Limits = Limits(),  # noqa: B008
        *,
        forks: bool = True,
        rooms: RoomSettings | None = None,
        authority: Path | None = None,
    ) -> TaskPool:
        made = None
        if rooms is not None:
            file = None if authority is None else str(authority)
            made = Rooms(rooms, "127.0.0.1:1", file, entry=SCRIPTED, clock=clock)
        # After the rooms, which may not be had: nobody would end it then.
        servers = ForkServers(SCRIPTED, ("fedstate.executor.room",)) if forks else None
        pool = TaskPool(servers, limits, rooms=made, entry=SCRIPTED, report=reports, clock=clock)
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        close_at_once(pool, clock)


def close_at_once(pool: TaskPool, clock: Clock) -> None:
    """Close a pool; what does not end by itself is killed without its grace."""
    wait = pool.wait

    def passing(seconds: float) -> bool:
        clock.now += 10
        return wait(seconds)

    pool.wait = passing  # type: ignore[method-assign]
    pool.close()


def settle(pool: TaskPool, condition: Callable[[], object]) -> None:
    def reconciled() -> object:
        pool.reconcile()
        return condition()

    assert wait_until(reconciled, SECONDS, sleep=pool.wait)


def order(
    script: str, task_id: int = 1, kind: TaskKind = TaskKind.CLIENT_APP, *, run_id: int = 1
) -> TaskOrder:
    return TaskOrder(
        kind, task_id, f" {script} ", "127.0.0.1:1", insecure=True, run_id=run_id, fab_hash=FAB
    )


@pytest.fixture
def directory() -> Path:
    """A directory that every user can write to, as those of pytest are not."""
    return new_directory()


@pytest.fixture(params=["users and Landlock", "Landlock alone"])
def walls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let rooms have all walls of this machine, or only those that need no root."""
    kind = str(request.param)
    if kind == "Landlock alone":
        only = Offered(landlock.abi(), "this is a test")
        monkeypatch.setattr(rooms, "offered", lambda _: only)
    elif os.geteuid():
        pytest.skip("only root can give runs users of their own; run the tests as root")
    return kind


def settings(directory: Path, **given: Any) -> RoomSettings:
    """Return settings of rooms below a directory, to which their tasks can write."""
    return RoomSettings(directory=directory / "rooms", writable=(directory,), **given)


class Server:
    """A Runtime API: flwr's own, or with our routes; it counts requests, and fails as told."""

    def __init__(self, *, notifies: bool, secret: bytes | None = None) -> None:
        self.signals = Signals()
        self.asked: list[str] = []
        self.failing: dict[str, int] = {}
        self.message_id = ""
        self.before: Callable[[str], None] = lambda _: None

        def prepare(app: FastAPI) -> None:
            if notifies:
                serve(app, self.signals, runtime_router)

            @app.middleware("http")
            async def watch(request: Request, go_on: RequestResponseEndpoint) -> Response:
                name = request.url.path.rpartition("/")[2]
                self.asked.append(name)
                if name in self.failing:
                    return Response(status_code=self.failing[name])
                self.before(name)
                return await go_on(request)

        self.node = Node(secret, prepare)
        self.node.add_run(1, probe_fab())

    @property
    def address(self) -> str:
        return self.node.address

    def source(self) -> TaskSource:
        return TaskSource(RuntimeApi(self.address, insecure=True))

    def order(self) -> TaskOrder:
        """Give the node a message, which `message_id` names then, and take its task."""
        self.message_id = self.node.ask(1, "tell")
        with self.source() as source:
            taken = source.acquire([TaskKind.CLIENT_APP])
        assert taken is not None
        return taken

    def stop(self) -> None:
        self.node.stop()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of ours; a test asks for flwr's own by `indirect=True` and False."""
    server = Server(notifies=getattr(request, "param", True))
    yield server
    server.stop()


@pytest.fixture
def pool(make_pool: Callable[..., TaskPool], directory: Path) -> TaskPool:
    pool = make_pool(rooms=settings(directory))
    settle(pool, lambda: pool.ready)
    return pool
