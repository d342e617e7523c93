"""Everything of a run ends, whatever it does to get away."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedstate.process_table import living
from fedstate.walls import RunLimits, Walls, enter
from fedstate.walls.processes import (
    all_processes,
    children,
    descendants,
    kill_all,
    kill_user,
    of_user,
    offspring,
    private_memory,
    send,
    user_of,
)
from fedstate.walls.users import free_user
from tests.waiting import wait_until


def bomb() -> None:
    """Fork and leave, over and over: of each generation the next one is an orphan."""
    signal.alarm(60)
    while True:
        if (pid := os.fork()) == 0:
            os.setsid()
            if os.fork() == 0:
                os.fork()
                signal.alarm(60)
                signal.pause()
            os._exit(0)
        os.waitpid(pid, 0)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_described(child: subprocess.Popen[bytes]) -> None:
    found = living(child.pid)
    assert found is not None
    assert (found.parent, found.threads) == (os.getpid(), 1)
    assert found in descendants(os.getpid())
    assert found in offspring(os.getpid())
    assert found.pid in children(os.getpid())
    assert not offspring(found.pid)
    assert user_of(child.pid) == os.getuid()
    assert private_memory([found]) > 0
    assert found.pid in all_processes()


def test_one_that_has_ended_is_none(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    # A zombie until it is waited for.
    wait_until(lambda: living(child.pid) is None, 5, "the process to end")
    child.wait()
    assert living(child.pid) is None
    assert user_of(child.pid) is None


def test_a_name_with_parentheses_confuses_nobody() -> None:
    code = (
        "import ctypes,time; ctypes.CDLL(None).prctl(15, b') R 1 1 ('); print(1); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        found = living(process.pid)
        assert found is not None
        assert found.parent == os.getpid()
    finally:
        process.kill()
        process.communicate()


def test_a_signal_reaches_the_very_process_only(child: subprocess.Popen[bytes]) -> None:
    found = living(child.pid)
    assert found is not None
    earlier = type(found)(found.pid, found.parent, 1, 0.0, found.started - 1)
    send(earlier)
    assert child.poll() is None
    send(found, signal.SIGTERM)
    assert child.wait(5) == -signal.SIGTERM


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_all_of_a_user_dies_while_it_forks(tmp_path: Path) -> None:
    user = free_user(tmp_path)
    limits = RunLimits(processes=200)
    if (pid := os.fork()) == 0:
        try:
            enter(Walls(tmp_path, user, limits))
            bomb()
        finally:
            os._exit(1)
    try:
        wait_until(lambda: len(of_user(user)) > 20, 10, "the bomb to go off")
        assert kill_user(user)
        assert not of_user(user)
    finally:
        os.waitpid(pid, 0)


def test_daemons_are_found_below_a_subreaper() -> None:
    ready, tell = os.pipe()
    stay, hold = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(hold)
        signal.alarm(60)
        enter(Walls(Path("/")))  # a child subreaper
        if os.fork() == 0:
            os.setsid()
            for _ in range(3):
                if os.fork() == 0:
                    signal.alarm(60)
                    os.write(tell, b"1")
                    signal.pause()
            os._exit(0)
        os.wait()
        os.read(stay, 1)
        os._exit(0)
    try:
        # Until the process that started them has ended, they are its children.
        wait_until(
            lambda: [process.parent for process in descendants(pid)] == [pid] * 3,
            10,
            "three daemons that are the subreaper's",
        )
        assert kill_all(lambda: descendants(pid))
        assert living(pid) is not None
    finally:
        for each in (hold, stay, ready, tell):
            os.close(each)
        os.waitpid(pid, 0)
