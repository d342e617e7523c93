"""A program of the local federation, in a fork of a process that has imported it."""

import os
import runpy
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from fedstate import failpoints
from fedstate.forking.channel import Channel
from fedstate.forking.ending import end_with

_COMM_LENGTH = 15


def run(descriptor: int) -> NoReturn:
    """Become the program that comes over the descriptor, and end this process with it."""
    end_with(lambda: _main(descriptor), broken=1)


def _main(descriptor: int) -> int:
    launcher = Channel(socket.socket(fileno=descriptor))
    # Before anybody knows this process: its group can be signalled from then on.
    os.setsid()
    launcher.send({"event": "started", "pid": os.getpid()})
    program = _receive(launcher)
    launcher.close()
    if program is None:
        return 1
    _become(program)
    # As `python -m fedstate` does: nothing below the command line imports it.
    runpy.run_module("fedstate", run_name="__main__")
    return 0


def _receive(launcher: Channel) -> dict[str, Any] | None:
    while not launcher.ended:
        for message in launcher.receive():
            return message
    return None


def _become(program: dict[str, Any]) -> None:
    """Take on what a program that is executed gets: arguments, environment, files, a name."""
    os.environ.clear()
    os.environ.update(program["environment"])
    os.chdir(program["directory"])
    sys.argv = program["command"]
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(program["log_file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    # What `ps` and `top` call it; its command line stays the launcher's.
    Path("/proc/self/comm").write_text(program["command"][1][:_COMM_LENGTH])
    failpoints.arm()
