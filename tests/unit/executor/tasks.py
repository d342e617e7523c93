"""Real ClientApp tasks in forks of a real fork server, at a node in this process."""

import json
import os
import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.stack.executor.conftest import PROBE, Node, probe_fab
from tests.unit.executor import warm_entry
from tests.unit.executor.conftest import ROOT

from fedstate.executor.import_report import ImportReport
from fedstate.flower.task_order import TaskKind
from fedstate.flower.tasks import RuntimeApi, TaskSource
from fedstate.forking.ending import Ending
from fedstate.forking.supervisor import ForkServer
from fedstate.waiting import wait_until

SECONDS = 120.0
SOURCE = (PROBE / "client_app.py").read_text()
FOUND = """

def found(asked, context):
    return {name: eval(code) for name, code in asked.items() if name != "do"}


def descriptors():
    # What is open beside the standard streams.
    listed = sorted(int(each) for each in os.listdir("/proc/self/fd"))
    return {n: os.readlink(f"/proc/self/fd/{n}") for n in listed if n > 2 and is_open(n)}


def is_open(number):
    return os.path.exists(f"/proc/self/fd/{number}")


ACTIONS["found"] = found
"""


def app(before: str = "", after: str = "", project: str = "", **others: str) -> bytes:
    """Return an app whose ``found`` evaluates what it is asked for, with code around it."""
    first, rest = SOURCE.split("\n\n", 1)
    return probe_fab(
        **{"probe/client_app": f"{first}\n{before}\n{rest}{FOUND}{after}"},
        **others,
        project=project or None,
    )


class Rooms:
    """A node, and fork servers that stand in for the rooms of its runs.

    Parameters
    ----------
    node
        Where messages are given.
    home
        The directory of installed apps.
    libraries
        A directory with modules beside those that are installed.
    """

    def __init__(self, node: Node, home: Path, libraries: Path) -> None:
        self.node = node
        self._home = home
        self._libraries = libraries
        self._runs = 100

    def run(self, fab: bytes) -> int:
        """Add a run, and return its ID."""
        self._runs += 1
        self.node.add_run(self._runs, fab)
        return self._runs

    @contextmanager
    def room(
        self,
        *modules: str,
        report: ImportReport | None = None,
        bare: bool = False,
        installs: bool = False,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator["Room"]:
        """Start a fork server that has imported these modules, and what a report says."""
        path = [str(self._libraries), str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "FLWR_HOME": str(self._home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "PYTHONPATH": os.pathsep.join(path),
            "TEST_BARE": "1" if bare else "",
            "TEST_REPORT": json.dumps(report.to_json()) if report else "",
            **settings,
        }
        server = ForkServer(warm_entry.__name__, modules, environment=environment)

        def ready() -> bool:
            server.listen()
            return server.ready or not server.alive

        assert wait_until(ready, SECONDS)
        assert server.ready, server.failure
        try:
            yield Room(self.node, server, installs=installs)
        finally:
            server.close()


class Room:
    """A fork server of a run."""

    def __init__(self, node: Node, server: ForkServer, *, installs: bool) -> None:
        self._node = node
        self._server = server
        self._installs = installs

    def ask(self, run_id: int, do: str = "found", **config: Any) -> "Done":
        """Give the run's ClientApp a message, run its task, and return what came of it."""
        message_id = self._node.ask(run_id, do, **config)
        with TaskSource(
            RuntimeApi(self._node.address, insecure=True, dependency_install=self._installs)
        ) as source:
            order = source.acquire([TaskKind.CLIENT_APP])
        assert order is not None
        channel = self._server.fork()
        channel.send({"task": order.to_json()})
        events: list[dict[str, Any]] = []

        def hear(seconds: float) -> None:
            select.select([channel], [], [], seconds)
            events.extend(channel.receive())

        assert wait_until(lambda: channel.ended, SECONDS, sleep=hear)
        pid = events[0]["pid"]

        def ended() -> Ending | None:
            self._server.listen()
            return self._server.how_ended(pid)

        ending = wait_until(ended, SECONDS)
        assert ending is not None
        return Done(self._node, message_id, order.token, pid, events, ending)


class Done:
    """A task that has ended."""

    def __init__(
        self,
        node: Node,
        message_id: str,
        token: str,
        pid: int,
        events: list[dict[str, Any]],
        ending: Ending,
    ) -> None:
        self._node = node
        self._message_id = message_id
        self.token = token
        self.pid = pid
        self.events = events
        self.ending = ending

    @property
    def names(self) -> list[str]:
        """The names of its events, but for those that say which node it is on."""
        return [event["event"] for event in self.events if event["event"] != "begun"]

    @property
    def answer(self) -> Any:
        """What the app answered."""
        return self._node.read(self._node.reply(self._message_id))

    @property
    def error(self) -> tuple[int, str]:
        """The code and the reason of the error reply."""
        return self._node.error(self._message_id)

    @property
    def report(self) -> ImportReport:
        """What the app has imported."""
        return next(
            ImportReport.from_json(each) for each in self.events if each["event"] == "imported"
        )

    @property
    def bare(self) -> str | None:
        """Why the task went on in a bare interpreter; None if it did not."""
        return next((each["reason"] for each in self.events if each["event"] == "bare"), None)
