"""A victim's run that waits, and hostile runs beside it: once for each installation."""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flwr.proto.control_pb2 import StreamLogsRequest

from fedstate.errors import FederationError
from fedstate.flower.control import control
from fedstate.local.runs import start, wait_for_runs
from tests.hostile import seen
from tests.hostile.app.hostile.forgeries import GARBAGE
from tests.hostile.app.hostile.tasks import FORGED
from tests.hostile.grounds import Ground, Plain, why_not
from tests.waiting import wait_until

HERE = Path(__file__).parent
RUN_SECONDS = 240.0
BOMBS = (
    "processes",
    "threads",
    "descriptors",
    "memory",
    "memory-of-children",
    "memory-files",
    "shared-memory",
    "system-v-memory",
    "own-files",
    "unlinked-files",
    "many-files",
    "wipe-the-log",
    "long-names",
    "endless-line",
    "false-pid",
    "garbage/no-object",
    "garbage/deep",
    "descriptors-to-the-executor",
    "stop-the-room",
)
# The last one may take the time of the whole app.
SLOW_BOMBS = (*(f"garbage/{kind}" for kind in GARBAGE), "sockets", "stop-itself")
# What elsewhere than as root goes another way; the rest of it is the same code.
FEWER_BOMBS = ("processes", "threads", "memory", "own-files", "wipe-the-log", "false-pid")
IN_CONTAINERS = (
    *("processes", "memory", "own-files", "wipe-the-log", "garbage/no-object"),
    "descriptors-to-the-executor",
)
LEFTOVERS = ("daemon", "comet", "leave-files", "awkward-files", "fork-at-the-end")
LAST_BOMBS = ("output",)
ROUNDS = 5


def bombs_of(mode: str) -> tuple[str, ...]:
    """Return the bombs that go off while the victim waits."""
    if os.environ.get("FEDSTATE_SLOW"):
        return (*BOMBS, *(bomb for bomb in SLOW_BOMBS if bomb not in BOMBS))
    if mode == "containers":
        return IN_CONTAINERS
    return BOMBS if mode == "root" else FEWER_BOMBS


@dataclass
class Siege:
    """What came of all attacks on one installation."""

    ground: Ground
    undisturbed: dict[str, Any] = field(default_factory=dict)
    disturbed: dict[str, Any] = field(default_factory=dict)
    probes: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    bombs: dict[str, str] = field(default_factory=dict)
    grown: dict[str, int] = field(default_factory=dict)
    opened: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    in_its_way: bool = True
    forged: bool = True
    notes: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    logs: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Let the victim run undisturbed, and then under every attack."""
        with control(self.ground.connection) as link:
            node = min(each.node_id for each in link.nodes() if each.online)
        self._undisturbed(node)
        tag = f"v{uuid.uuid4().hex[:5]}"
        victim = self._victim(node, tag)
        step, server = self._waiting(f"{tag}-1"), self._waiting(f"{tag}-s")
        self._executor = next(
            each for each in self.ground.executors() if each in seen.ancestors(step)
        )
        self._hints = {
            "client": self._hints_of("client", self._executor, step, tag, victim),
            "server": self._hints_of(
                "server", self.ground.server_executor(), server, tag, victim
            ),
        }
        self._timed("probes", lambda: self._probe(node))
        self._timed("bombs", lambda: self._bomb(node, self._go_on(tag, 1)))
        self._timed("leftovers", lambda: self._leave(node, self._go_on(tag, 2)))
        self._timed("slots", lambda: self._slots(node, tag))
        self._timed("last", lambda: self._set_off(node, LAST_BOMBS))
        self._timed("victim", lambda: self._finish(tag, victim))

    def _timed(self, name: str, phase: Callable[[], None]) -> None:
        """Go through a phase; one that fails is for the checks to say, and others follow it."""
        began = time.monotonic()
        try:
            phase()
        except (AssertionError, FederationError) as error:
            self.failures[name] = str(error)
        self.seconds[name] = round(time.monotonic() - began, 1)

    def _finish(self, tag: str, victim: int) -> None:
        """Let the victim go on to the end of its run, from wherever it is."""

        def finished() -> bool:
            for pid in seen.named(f"{tag}-"):
                if not seen.name_of(pid).endswith("-s"):
                    seen.release(pid)
            with control(self.ground.connection) as link:
                return link.run_status(victim).startswith("finished")

        wait_until(finished, 60, "the end of the victim's run")
        self.disturbed = self._result(victim)
        self.forged = FORGED in self.logs[-1]

    def _undisturbed(self, node: int) -> None:
        self.undisturbed = self._result(self._victim(node, ""))
        assert "digests" in self.undisturbed, self.undisturbed

    def _victim(self, node: int, tag: str) -> int:
        nodes = len(self.ground.executors())
        config: dict[str, int | str] = {
            "rounds": ROUNDS,
            "nodes": nodes,
            "node": str(node),
            "tag": tag,
        }
        return start(self.ground, HERE / "victim", config)

    def _hostile(self, node: int, **config: Any) -> int:
        return start(
            self.ground,
            HERE / "app",
            {"hints": json.dumps(self._hints), "node": str(node), **config},
        )

    def _waiting(self, name: str) -> int:
        """Wait until a process of the victim waits to be attacked."""
        wait_until(
            lambda: any(seen.treasure_of(pid) for pid in seen.named(name)), 60, f"process {name}"
        )
        return next(pid for pid in seen.named(name) if seen.treasure_of(pid))

    def _go_on(self, tag: str, number: int) -> int:
        """Let the victim's step go on; return the process of the next."""
        for pid in seen.named(f"{tag}-{number}"):
            seen.release(pid)
        step = self._waiting(f"{tag}-{number + 1}")
        hints = self._hints["client"]
        hints["processes"]["victim"] = seen.inner(step)
        return step

    def _hints_of(
        self, side: str, executor: int, victim: int, tag: str, run_id: int
    ) -> dict[str, Any]:
        treasure = seen.treasure_of(victim)
        hints: dict[str, Any] = {
            "mode": self.ground.mode,
            "side": side,
            "tag": tag,
            "marker": treasure["secret"],
            "files": self.ground.files(executor),
            "directories": self.ground.directories(executor),
            "addresses": self.ground.addresses(executor),
        }
        others = {
            f"{seen.name_of(pid)} {pid} of the executor": pid
            for pid in [executor, *seen.descendants(executor)]
            if pid != victim and victim not in seen.ancestors(pid)
        }
        processes = {"victim": victim, **others, **self.ground.services(executor)}
        # Others of the executor may end meanwhile, as those of a run that is over.
        inner = {name: seen.inner(pid) for name, pid in processes.items()}
        hints["processes"] = {name: pid for name, pid in inner.items() if pid}
        hints["processes"]["the victim's child"] = treasure["child"]
        tmp = Path(treasure["tmp"])
        places = {"victim app": treasure["app"], "victim home": treasure["home"]}
        if tmp not in (Path("/tmp"), Path("/var/tmp")):  # noqa: S108
            places |= {"victim tmp": str(tmp), "victim room": str(tmp.parent)}
            places["rooms"] = str(tmp.parent.parent)
        else:
            places["executor apps"] = str(Path(treasure["flwr"]) / "apps")
        if side == "server" and str(run_id) in treasure["cwd"]:
            places["victim records"] = treasure["cwd"]
        hints["directories"] |= places
        own = {name: treasure[name] for name in treasure if name not in ("secret", "pid")}
        users = sorted({seen.user_of(executor), seen.user_of(victim)})
        left_key = int(uuid.uuid4().hex[:7], 16) + 1
        hints["victim"] = own | {
            "run": run_id,
            "users": users,
            "reach": dict(self.ground.reach),
            "belongings": self.ground.belongings(),
            "left key": left_key,
        }
        return hints

    def _probe(self, node: int) -> None:
        run_id = self._hostile(node, probes=True)
        for line in self._lines(run_id):
            if line.startswith("PROBE "):
                self._take(line.removeprefix("PROBE "))

    def _take(self, text: str) -> None:
        try:
            report = json.loads(text)
        except ValueError:
            self.logs.append(text)
            return
        self.probes[report["side"], report["name"]] = report

    def _bomb(self, node: int, step: int) -> None:
        watched = self._watched(step)
        before = {name: seen.resident(pid) for name, pid in watched.items()}
        opened = {name: seen.descriptors(pid) for name, pid in watched.items()}
        self._set_off(node, bombs_of(self.ground.mode))
        after = self._watched(step)
        self.lost = [name for name, pid in watched.items() if after.get(name) != pid]
        self.grown = {
            name: seen.resident(pid) - before[name]
            for name, pid in watched.items()
            if name not in self.lost
        }
        self.opened = {
            name: seen.descriptors(pid) - opened[name]
            for name, pid in watched.items()
            if name not in self.lost
        }

    def _set_off(self, node: int, names: tuple[str, ...]) -> None:
        run_id = self._hostile(node, bombs=",".join(names))
        for line in self._lines(run_id):
            if line.startswith("BOMB "):
                name, lines, seconds = json.loads(line.removeprefix("BOMB "))
                self.bombs[name] = "; ".join(lines)
                self.seconds[name] = seconds

    def _watched(self, step: int) -> dict[str, int]:
        """Return the processes that have to outlive every attack: those above the victim."""
        if seen.name_of(step) == "":
            return {}
        return {"the victim": step} | {
            f"{number} above the victim": pid
            for number, pid in enumerate(seen.ancestors(step))
            if pid == self._executor or self._executor in seen.ancestors(pid)
        }

    def _leave(self, node: int, step: int) -> None:  # noqa: ARG002
        tag = f"h{uuid.uuid4().hex[:4]}"
        self._hints["client"]["tag"] = tag
        self._set_off(node, LEFTOVERS)
        deadline = time.monotonic() + 10
        while (left := self._left(tag)) and time.monotonic() < deadline:
            time.sleep(0.2)
        self.left = left

    def _left(self, tag: str) -> list[str]:
        found = [f"process {seen.name_of(pid)}" for pid in seen.named(tag)]
        root = self.ground.root_of(self._executor)
        for place in ("tmp", "var/tmp", "dev/shm", "run"):
            found += [f"/{place}/{name}" for name in _listed(root / place) if tag in name]
        if rooms := self._hints["client"]["directories"].get("rooms"):
            found += _named_below(root / rooms.lstrip("/"), tag)
        key = int(self._hints["client"]["victim"]["left key"])
        table = Path(f"/proc/{self._executor}/root/proc/sysvipc/shm")
        lines = table.read_text().splitlines() if table.exists() else []
        found += ["System V shared memory" for line in lines if line.split()[0] == str(key)]
        return found

    def _slots(self, node: int, tag: str) -> None:
        holder = f"s{uuid.uuid4().hex[:4]}"
        self._hints["client"]["tag"] = holder
        runs = [self._hostile(node, bombs="sleep")]
        rooms = self._hints["client"]["directories"].get("rooms", "")
        self._hints["client"]["victim"]["other room"] = f"{rooms}/{runs[0]}"
        runs += [self._hostile(node, bombs="sleep") for _ in range((os.cpu_count() or 2) - 1)]
        # As many as there are slots beside the victim's, at least one.
        wait_until(lambda: seen.named(f"{holder}-s"), 60, "a task that sleeps")
        number = 3
        for pid in seen.named(f"{tag}-{number}"):
            seen.release(pid)
        try:
            wait_until(lambda: seen.named(f"{tag}-{number + 1}"), 60)
            self.in_its_way = not seen.named(f"{holder}-s")
        except AssertionError:
            self.in_its_way = True

        def finish() -> bool:
            for pid in seen.named(f"{holder}-s"):
                seen.release(pid)
            with control(self.ground.connection) as link:
                return all(link.run_status(run).startswith("finished") for run in runs)

        wait_until(finish, 90, "the end of the runs that sleep")
        self.notes = [line for run in runs for line in self._lines(run) if "notes:" in line]
        self._waiting(f"{tag}-{number + 1}")

    def _result(self, run_id: int) -> dict[str, Any]:
        for line in self._lines(run_id):
            if line.startswith("RESULT "):
                return dict(json.loads(line.removeprefix("RESULT ")))
        return {"log": self.logs[-1]}

    def _lines(self, run_id: int) -> list[str]:
        """Wait for a run to end, and return what its ServerApp has printed."""
        wait_for_runs(self.ground, [run_id], RUN_SECONDS)
        with control(self.ground.connection) as link:
            request = StreamLogsRequest(run_id=run_id, after_timestamp=0.0)
            answers = link._client.StreamLogs(request)
            text = "".join(answer.log_output for answer in answers)
        self.logs.append(text)
        return text.splitlines()


def _named_below(directory: Path, tag: str, depth: int = 4) -> list[str]:
    """Return what has a name with a tag in it, a few directories deep: apps go deeper."""
    found = []
    for name in _listed(directory):  # while rooms are being deleted
        if tag in name:
            found.append(f"{directory}/{name}")
        elif depth and not (directory / name).is_symlink():
            found += _named_below(directory / name, tag, depth - 1)
    return found


def _listed(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208
    except OSError:
        return []


@contextmanager
def besieged(mode: str) -> Iterator[Siege]:
    """Start plain processes and besiege them; skip where that cannot be, but not in CI."""
    if reason := why_not(mode):
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    ground = Plain(mode)
    try:
        ground.start()
        siege = Siege(ground)
        siege.run()
        yield siege
    finally:
        ground.remove()
