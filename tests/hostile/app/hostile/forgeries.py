"""Bombs on the channel to the executor: what it must not believe, and what it cannot read."""

import errno
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from .bombs import bomb, reach
from .memory import _channels


@bomb
def endless_line(hints: dict[str, Any]) -> str:
    """Send a line without an end to the executor."""
    (channel, *_) = _channels()
    channel.socket.settimeout(3)
    sent = 0
    try:
        while sent < reach(hints, "line"):
            channel.socket.sendall(b"x" * 2**20)
            sent += 2**20
    except OSError as error:
        return f"denied after {sent} bytes: {error}"
    time.sleep(1)
    return f"ended by itself after {sent} bytes"


GARBAGE = {
    "no-text": b"\xff\xfe\x00",
    "no-object": b"[]",
    "nothing": b"null",
    "no-event": b"{}",
    "no-name": b'{"event": 5}',
    "no-message": b'{"event": "pulled"}',
    "no-base64": b'{"event": "pulled", "message": "***"}',
    "no-pid": b'{"event": "started"}',
    "no-number": b'{"event": "started", "pid": "none"}',
    "no-modules": b'{"event": "imported", "modules": 7}',
    "no-environment": b'{"event": "bare", "environment": [[]]}',
    "a-long-number": b"9" * 5000,
    "deep": b"[" * 100_000,
}


@bomb
def garbage(hints: dict[str, Any]) -> str:
    """Send the executor what is no message, or no message of this kind."""
    (channel, *_) = _channels()
    channel.socket.settimeout(3)
    channel.socket.sendall(GARBAGE[hints["kind"]] + b"\n")
    time.sleep(0.5)
    return "ended by itself"


@bomb
def false_pid(hints: dict[str, Any]) -> str:
    """Tell the executor that the victim, or the executor itself, is this task's process."""
    (channel, *_) = _channels()
    for pid in [*hints["processes"].values(), 1, 0, -1, 2**31 - 1, 2**64]:
        channel.send({"event": "started", "pid": pid})
    time.sleep(0.5)
    os._exit(9)  # as a task that failed: it is for the executor to look after its process


@bomb
def descriptors_to_the_executor(hints: dict[str, Any]) -> str:
    """Send the executor descriptors, of which it may have only so many, one with every byte."""
    (channel, *_) = _channels()
    channel.socket.settimeout(3)
    own = os.open(os.devnull, os.O_RDONLY)
    sent, until = 0, time.monotonic() + 5
    while sent < reach(hints, "descriptors") and time.monotonic() < until:
        try:
            socket.send_fds(channel.socket, [b" "], [own])
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                return f"denied after {sent}: {error}"
            time.sleep(0.001)  # so many are on their way
        else:
            sent += 1
    os.close(own)
    return f"ended by itself after {sent} descriptors"


@bomb
def stop_the_room(hints: dict[str, Any]) -> str:
    """Stop the process that its task was forked from, and those above that it may stop."""
    stopped = []
    process = os.getppid()
    while process > 1:
        status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        try:
            os.kill(process, signal.SIGSTOP)
        except OSError as error:
            stopped.append(error.strerror or "")
            break
        stopped.append("stopped")
        process = int(status[1])
    time.sleep(1)
    return f"ended by itself: {stopped}"


@bomb
def stop_itself(hints: dict[str, Any]) -> str:
    """Say that all is done, and stop: nobody is to wait for it for ever."""
    (channel, *_) = _channels()
    for event in ("replied", "finished"):
        channel.send({"event": event})
    os._exit(0)
