"""A room's process in which nothing is preloaded: a fork of the fork server that begins anew."""

import json
import os
import socket
import sys
import time
from typing import Any, NoReturn

from fedstate.executor.plan import RoomPlan
from fedstate.forking.channel import Channel
from fedstate.walls import enter_view

# What this process tells the next: whether the run's view of files has terminals of its own.
TERMINALS, NO_TERMINALS = "own-terminals", "no-terminals"
_PAUSE_SECONDS = 0.001
_FAILED = 3
_MOST_BYTES = 1 << 20


def run(descriptor: int) -> NoReturn:
    """Execute a room's process in place of this one; its parent and its ID stay.

    What its run is to see of files and memory it sees from here on: once NumPy is imported, the
    process has more than one thread, to which the kernel would refuse it.
    """
    more: list[str] = []
    try:
        walls = RoomPlan.from_json(_first_message(descriptor)["room"]).walls
        if walls is not None and (left := enter_view(walls)) != walls:
            more = [TERMINALS if left.own_terminals else NO_TERMINALS]
        os.set_inheritable(descriptor, True)
        os.execv(  # noqa: S606
            sys.executable,
            [
                *(sys.executable, "-P", "-m", "fedstate.executor.room", str(descriptor)),
                *more,
            ],
        )
    except (OSError, ValueError, KeyError) as error:
        channel = Channel(socket.socket(fileno=descriptor))
        channel.send({"event": "started", "pid": os.getpid()})
        channel.send({"event": "failed", "reason": f"A wall cannot be put up: {error}."})
    finally:
        os._exit(_FAILED)


def _first_message(descriptor: int) -> dict[str, Any]:
    """Return what the executor says first, and leave it there to be read."""
    end = socket.socket(fileno=descriptor)
    try:
        while True:
            found = end.recv(_MOST_BYTES, socket.MSG_PEEK)
            line, ended, _ = found.partition(b"\n")
            if ended or not found:
                break
            time.sleep(_PAUSE_SECONDS)  # the rest is on its way
    finally:
        end.detach()
    return dict(json.loads(line))
