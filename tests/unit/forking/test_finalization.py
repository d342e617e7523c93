"""The end of a fork beside the end of the same program when Python itself runs it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60.0

# What a program may leave to its end: all of it writes into the directory that it is given.
PROGRAM = """
import atexit, concurrent.futures, multiprocessing, os, sys, threading, time, types, weakref
from pathlib import Path

directory = Path(sys.argv[1])

class Destroyed:
    def __init__(self, file):
        self.file = file
    def __del__(self):
        self.file.write_text("destroyed")

def write(name):
    time.sleep(0.3)
    (directory / name).write_text("written")

def begin():
    module = types.ModuleType("app")
    sys.modules["app"] = module
    module.unclosed = (directory / "unclosed").open("w")
    module.unclosed.write("flushed")
    module.destroyed = Destroyed(directory / "destroyed")
    cycle = [Destroyed(directory / "cycle")]
    cycle.append(cycle)
    atexit.register((directory / "atexit").write_text, "called")
    module.finalized = weakref.finalize(module, (directory / "finalized").write_text, "called")
    threading.Thread(target=write, args=("thread",)).start()
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(write, "pool")
    module.child = multiprocessing.get_context("fork").Process(target=write, args=("child",))
    module.child.start()
    sleeper = multiprocessing.get_context("fork").Process(
        target=time.sleep, args=(600,), daemon=True
    )
    sleeper.start()
    (directory / "daemon").write_text("started")
    module.sleeper = sleeper.pid
    sys.stdout.write("no end of a line")
    return sleeper.pid
"""

AS_PYTHON = PROGRAM + "(directory / 'pid').write_text(str(begin()))\nsys.exit(3)\n"

AS_A_FORK = (
    PROGRAM
    + """
from fedstate.forking.finalization import finalize

def main():
    inherited = dict(sys.modules) if {aside} else None
    pid = os.fork()
    if pid == 0:
        (directory / "pid").write_text(str(begin()))
        finalize(3, seconds={seconds}, set_aside=inherited)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    (directory / "forked").write_text("by the parent alone")
    sys.stdout.flush()
    os._exit(code)

main()
(directory / "returned").write_text("into the frames of whoever forked")
"""
)


def run(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    directory.mkdir()
    return subprocess.run(
        [sys.executable, "-c", script, str(directory)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def left(directory: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in directory.iterdir() if each.name != "pid"}


@pytest.mark.parametrize("aside", [False, True], ids=["all modules", "some set aside"])
@pytest.mark.parametrize("seconds", [None, 30.0], ids=["unlimited", "limited"])
def test_a_fork_leaves_what_a_program_leaves(
    tmp_path: Path, aside: bool, seconds: float | None
) -> None:
    program = run(AS_PYTHON, tmp_path / "program")
    fork = run(AS_A_FORK.format(aside=aside, seconds=seconds), tmp_path / "fork")
    assert (fork.returncode, fork.stdout, fork.stderr) == (3, "no end of a line", "")
    assert (program.returncode, program.stdout) == (3, "no end of a line")
    expected = left(tmp_path / "program")
    assert len(expected) == 9
    assert left(tmp_path / "fork") == {**expected, "forked": "by the parent alone"}
    # The daemon among the children is ended, and not waited for.
    assert not Path("/proc", (tmp_path / "fork" / "pid").read_text()).exists()


def ends(body: str, *, seconds: float | None) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys, threading, time\n"
        "from fedstate.forking.finalization import finalize\n"
        f"{body}\n"
        f"finalize(4, seconds={seconds})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


ENDLESS = "threading.Thread(target=time.sleep, args=(600,), name='the endless one').start()"


def test_a_thread_that_does_not_end_is_named_and_ended_with_the_process() -> None:
    done = ends(ENDLESS, seconds=0.2)
    assert done.returncode == 4
    assert "threads of the app still run ('the endless one')" in done.stderr


def test_what_hangs_while_the_interpreter_is_taken_apart_is_ended_by_the_system() -> None:
    hanging = (
        "class Hanging:\n    def __del__(self):\n        while True: pass\nsys.kept = Hanging()"
    )
    assert ends(hanging, seconds=0.2).returncode == -signal.SIGALRM


def test_a_daemon_thread_does_not_delay_the_end() -> None:
    daemon = "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    assert ends(daemon, seconds=None).returncode == 4


def test_an_exit_function_that_fails_is_shown_and_the_next_one_is_called() -> None:
    body = "import atexit\natexit.register(print, 'the next')\natexit.register(lambda: 1 / 0)"
    done = ends(body, seconds=30)
    assert (done.returncode, done.stdout) == (4, "the next\n")
    assert "ZeroDivisionError" in done.stderr


def test_what_a_library_in_c_has_not_flushed_is_flushed() -> None:
    done = ends("import ctypes\nctypes.CDLL(None).printf(b'from C')", seconds=30)
    assert (done.returncode, done.stdout) == (4, "from C")


def test_a_thread_that_imports_at_the_end_finds_what_was_imported() -> None:
    """Modules that are set aside would be imported a second time."""
    body = (
        "import json, types\n"
        # So many that the thread has its turn while they are set aside.
        "sys.modules.update((f'm{n}', types.ModuleType(f'm{n}')) for n in range(200_000))\n"
        "def look():\n"
        "    while True:\n"
        "        import json as again\n"
        "        if again is not json: print('imported twice', flush=True)\n"
        "threading.Thread(target=look, daemon=True).start()\n"
        "finalize(5, seconds=30, set_aside=dict(sys.modules))\n"
    )
    done = ends(body, seconds=30)
    assert (done.returncode, done.stdout) == (5, "")


def test_the_time_of_an_end_is_the_programs_own() -> None:
    """An alarm that the program has set is not what ends it early."""
    body = (
        "import signal, atexit\n"
        "signal.signal(signal.SIGALRM, lambda *_: print('alarm', flush=True))\n"
        "atexit.register(lambda: (signal.setitimer(signal.ITIMER_REAL, 0.05), time.sleep(0.2)))"
    )
    done = ends(body, seconds=30)
    assert (done.returncode, done.stdout) == (4, "alarm\n")
