import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fedstate.interrupts import terminate_as_interrupt, uninterrupted

# What a process finds when it starts: with SIGINT ignored, where a shell runs it in its
# background, as most ways to run a test suite unattended do.
STARTED = {"in the foreground": signal.default_int_handler, "in the background": signal.SIG_IGN}


@contextmanager
def handling(handler: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(params=list(STARTED.values()), ids=list(STARTED))
def started(request: pytest.FixtureRequest) -> Iterator[Any]:
    with handling(request.param):
        yield request.param


@pytest.fixture
def in_the_foreground() -> Iterator[None]:
    with handling(signal.default_int_handler):
        yield


def held_back(*numbers: signal.Signals) -> None:
    """Send the signals to this process in a block that is not interrupted, and see its end."""
    reached = False
    try:
        with uninterrupted():
            for number in numbers:
                os.kill(os.getpid(), number)
            reached = True
    finally:
        assert reached


def test_sigterm_unwinds_as_ctrl_c_does(started: Any) -> None:
    with terminate_as_interrupt(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_ctrl_c_waits_for_the_end_of_the_block(in_the_foreground: None) -> None:
    with pytest.raises(KeyboardInterrupt):
        held_back(signal.SIGINT)


def test_sigterm_waits_for_the_end_of_the_block(started: Any) -> None:
    with terminate_as_interrupt(), pytest.raises(KeyboardInterrupt):
        held_back(signal.SIGTERM)


def test_an_ignored_ctrl_c_stays_ignored_and_hides_no_sigterm() -> None:
    with handling(signal.SIG_IGN), terminate_as_interrupt():
        held_back(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            held_back(signal.SIGINT, signal.SIGTERM)


def test_handlers_are_put_back(started: Any) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with terminate_as_interrupt(), uninterrupted():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_program_that_a_shell_started_in_its_background_ends_in_order() -> None:
    program = (
        "import os, signal\n"
        "from fedstate.interrupts import terminate_as_interrupt, uninterrupted\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n"
        "with terminate_as_interrupt():\n"
        "    try:\n"
        "        with uninterrupted():\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        print('not stopped')\n"
        "    except KeyboardInterrupt:\n"
        "        print('stopped in order')\n"
    )
    shell = f"trap '' INT; exec {shlex.join([sys.executable, '-c', program])}"
    done = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped in order\n", "")
