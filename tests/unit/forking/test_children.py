"""What forks of a program inherit from it, and how those end that come back."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedstate.forking import children

SECONDS = 60.0

PROGRAM = """
import json, os, signal, socket, sys, threading, time
from fedstate.forking import children
from fedstate.forking.channel import Channel

ours, theirs = Channel.pair()
theirs = Channel(theirs)

def handler(number, frame):
    raise BaseException("ours")

handler.__module__ = "fedstate.executor"

def own(number, frame):
    pass

for each in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
    signal.signal(each, handler)
children.disinherit(theirs)

def inherited():
    return {
        "handlers": [
            str(getattr(signal.getsignal(each), "__name__", signal.getsignal(each)))
            for each in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
        ],
        "channel": theirs.fileno(),
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    }
"""


def run(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + body],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def told(body: str) -> Any:
    done = run(body)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


IN_A_FORK = """
def told_by_a_fork():
    pid = os.fork()
    if pid == 0:
        print(json.dumps(inherited()), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""
DEFAULTS = ["default_int_handler", "0", "0"]


@pytest.mark.parametrize(
    "how",
    ["told_by_a_fork()", "t = threading.Thread(target=told_by_a_fork); t.start(); t.join()"],
    ids=["main thread", "another thread"],
)
def test_a_fork_has_pythons_handlers_and_no_channel(how: str) -> None:
    assert told(IN_A_FORK + how) == {"handlers": DEFAULTS, "channel": -1, "blocked": 0}


def test_a_fork_keeps_the_programs_own_handlers_and_its_mask() -> None:
    body = (
        "signal.signal(signal.SIGTERM, own)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
    )
    found = told(IN_A_FORK + body + "told_by_a_fork()")
    assert found["handlers"] == ["default_int_handler", "own", "0"]
    assert found["blocked"] == 1


def test_the_program_itself_keeps_all_of_it() -> None:
    body = (
        "pid = os.fork()\n"
        "if pid == 0: os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "theirs.send({'still': 'there'})\n"
        "found = inherited() | next(ours.receive())\n"
        "print(json.dumps({**found, 'channel': found['channel'] > 0}))\n"
    )
    assert told(body) == {
        "handlers": ["handler"] * 3,
        "channel": True,
        "blocked": 0,
        "still": "there",
    }


def test_the_other_end_sees_the_program_end_although_a_fork_lives_on() -> None:
    body = (
        "owner = os.fork()\n"
        "if owner == 0:\n"
        "    ours.close()\n"
        "    children.disinherit(theirs)\n"
        "    if os.fork() == 0: time.sleep(600)\n"
        "    os._exit(0)\n"
        "theirs.close()\n"
        "list(ours.receive())\n"
        "print(json.dumps(ours.ended), flush=True)\n"
        "os.killpg(0, signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("children.disinherit(theirs)", "", 1) + body],
        stdout=subprocess.PIPE,
        timeout=SECONDS,
        start_new_session=True,
        check=False,
    )
    assert json.loads(done.stdout) is True


def test_no_signal_is_lost_between_a_fork_and_its_wait() -> None:
    """A pool stops workers that have hardly begun; a handler would wait for a bytecode."""
    body = (
        "ends = set()\n"
        "for number in range(300):\n"
        "    reading, writing = os.pipe()\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os.close(writing)\n"
        "        os.read(reading, 1)\n"
        "        os._exit(0)\n"
        "    os.close(reading)\n"
        "    os.kill(pid, signal.SIGTERM)\n"
        "    ends.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "    os.close(writing)\n"
        "print(json.dumps(list(ends)))\n"
    )
    assert told(body) == [-signal.SIGTERM]


CALLED = """
def app():
    pid = os.fork()
    if pid == 0:
        {ends}
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

code = children.call(app)
print(json.dumps([code, os.getpid() == {owner}]))
"""


@pytest.mark.parametrize(
    ("ends", "code", "says"),
    [
        ("return 1", 0, ""),
        ("raise ValueError('no data')", 1, "ValueError: no data"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
        ("sys.exit(7)", 7, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(-1)", 255, ""),
        ("sys.exit('no data')", 1, "no data"),
        ("os._exit(9)", 9, ""),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -15, ""),
        ("signal.signal(signal.SIGTERM, own); sys.exit(6)", 6, ""),
    ],
)
def test_a_fork_that_comes_back_ends_with_its_own_code(ends: str, code: int, says: str) -> None:
    done = run(CALLED.format(ends=ends, owner="os.getpid()"))
    # The program goes on once, and not in the fork as well.
    assert json.loads(done.stdout) == [code, True]
    assert says in done.stderr
    assert bool(done.stderr) is bool(says)


def test_a_fork_of_a_fork_ends_too() -> None:
    body = CALLED.format(ends="return app() if False else os.fork() and 0", owner="os.getpid()")
    assert json.loads(run(body).stdout) == [0, True]


def test_a_fork_that_comes_back_flushes_its_files(tmp_path: Path) -> None:
    file = tmp_path / "file"
    ends = f"sys.kept = open({str(file)!r}, 'w'); sys.kept.write('flushed'); return 0"
    assert json.loads(run(CALLED.format(ends=ends, owner="os.getpid()")).stdout) == [0, True]
    assert file.read_text() == "flushed"


def test_what_a_program_itself_raises_is_raised() -> None:
    def fail() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        children.call(fail)
    assert children.call(lambda: os.getpid()) == os.getpid()
