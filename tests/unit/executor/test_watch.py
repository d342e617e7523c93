"""A process that watches over another, with real signals, and with less patience than it has."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.waiting import wait_until

from fedstate.errors import FederationError
from fedstate.executor.heartbeat import check_executor
from fedstate.process_table import living

PRELUDE = """
import os, pathlib, signal, sys, time
from fedstate.executor import heart, heartbeat, watch
watch.PATIENCE_SECONDS, watch._GRACE_SECONDS = 1.0, 1.0
watch._TICK_SECONDS = watch._NOTE_SECONDS = 0.1
heart._SHORTEST_SECONDS, heart._STOPPED_SECONDS = 0.05, 0.3
beating = watch.watched(pathlib.Path("heartbeat"))
with open("executors", "a") as file:
    print(os.getpid(), file=file)
first = len(open("executors").readlines()) == 1
def beat():
    while True:
        beating.beat(works=True)
        time.sleep(0.02)
"""


class Watched:
    """A process whose child runs a script."""

    def __init__(self, directory: Path, script: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + script],
            cwd=directory,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def numbers(self, name: str = "executors") -> list[int]:
        file = self.directory / name
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def executor(self, number: int = 1) -> int:
        """Wait for the executor that is the first, second, ..., and return its process id."""
        return wait_until(lambda: self.numbers()[number - 1 : number])[0]

    def works(self) -> bool:
        try:
            check_executor(self.directory / "heartbeat")
        except FederationError:
            return False
        return True

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and its last words."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Watched]]:
    started: list[Watched] = []

    def begin(script: str) -> Watched:
        started.append(Watched(tmp_path, script))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.process.communicate()


@pytest.mark.parametrize("code", [0, 3])
def test_the_end_of_the_executor_is_the_end(start: Callable[[str], Watched], code: int) -> None:
    watched = start(f"sys.exit({code})")
    assert watched.end() == (code, "")
    assert len(watched.numbers()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_exit_code_is_the_executor_s(
    start: Callable[[str], Watched], number: signal.Signals
) -> None:
    watched = start(f"signal.signal({number:d}, lambda *_: sys.exit(7)); beat()")
    wait_until(watched.works)
    os.kill(watched.process.pid, number)
    assert watched.end() == (7, "")


def test_a_stopped_executor_is_unwell_and_another_takes_its_place(
    start: Callable[[str], Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedstate.executor.heartbeat.WORKING_SECONDS", 0.5)
    watched = start("beat()")
    wait_until(watched.works)
    os.kill(watched.executor(), signal.SIGSTOP)
    wait_until(lambda: not watched.works())
    watched.executor(2)
    wait_until(watched.works)
    assert not living(watched.executor(1))
    watched.process.terminate()
    # It has been silent for as long as it has been stopped: either may be noticed first.
    assert re.fullmatch(
        "The executor had (not answered|been stopped) for 1 s and was killed; "
        "another takes its place.\n",
        watched.end()[1],
    )


def test_an_executor_that_is_stopped_while_it_may_be_silent_is_not_waited_for(
    start: Callable[[str], Watched],
) -> None:
    watched = start("if not first: beat()\nwith beating.busy(600): signal.pause()")
    os.kill(watched.executor(), signal.SIGSTOP)
    watched.executor(2)
    watched.process.terminate()
    assert "had been stopped for 1 s and was killed" in watched.end()[1]


def test_an_executor_that_hangs_is_replaced(start: Callable[[str], Watched]) -> None:
    watched = start("if first:\n    beating.beat(works=True)\n    while True: pass\nelse: beat()")
    watched.executor(2)
    wait_until(watched.works)


def test_an_executor_that_asks_a_slow_server_is_not(start: Callable[[str], Watched]) -> None:
    watched = start("beating.during(time.sleep, 60)(3)")
    assert watched.end() == (0, "")
    assert len(watched.numbers()) == 1


def test_a_killed_executor_is_replaced(start: Callable[[str], Watched]) -> None:
    watched = start("beat()")
    wait_until(watched.works)
    os.kill(watched.executor(), signal.SIGKILL)
    watched.executor(2)
    wait_until(watched.works)


def test_one_that_dies_before_it_works_is_given_up(start: Callable[[str], Watched]) -> None:
    watched = start("os.kill(os.getpid(), signal.SIGSEGV)")
    code, said = watched.end()
    assert code == 1
    assert "The executor was ended by SIGSEGV before it worked, 3 times" in said
    assert len(watched.numbers()) == 3


def test_the_executor_ends_with_whoever_watches_over_it(start: Callable[[str], Watched]) -> None:
    watched = start("beat()")
    executor = watched.executor()
    watched.process.kill()
    wait_until(lambda: not living(executor))


def test_whoever_watches_over_it_and_is_stopped_goes_on(start: Callable[[str], Watched]) -> None:
    watched = start("beat()")
    wait_until(watched.works)
    os.kill(watched.process.pid, signal.SIGSTOP)
    status = Path(f"/proc/{watched.process.pid}/stat")
    wait_until(lambda: ") T " in status.read_text())
    wait_until(lambda: ") T " not in status.read_text())
    assert watched.process.poll() is None


@pytest.mark.parametrize("ending", ["sys.exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_what_the_executor_leaves_behind_is_killed(
    start: Callable[[str], Watched], ending: str
) -> None:
    """A child of a child, in a session of its own and stopped: nobody else would end it."""
    watched = start(
        "if not first: sys.exit(0)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        open('left', 'w').write(str(os.getpid()))\n"
        "        os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "while not os.path.exists('left') or not open('left').read(): pass\n" + ending
    )
    assert watched.end()[0] == 0
    (left,) = watched.numbers("left")
    assert not living(left)


def test_a_fork_of_the_executor_cannot_speak_for_it(start: Callable[[str], Watched]) -> None:
    watched = start(
        "pid = os.fork()\n"
        "if pid == 0: os._exit(beating._channel.fileno() + 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    assert watched.end() == (0, "")


def test_a_heartbeat_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "heartbeat").mkdir()
    watched = Watched(tmp_path, "")
    code, said = watched.end()
    assert code == 1
    assert "--heartbeat-file names heartbeat, which cannot be written (Is a directory)" in said
