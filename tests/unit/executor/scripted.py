"""A task's process that does what the task's token says: what a fork server or a pool is given.

The token is a list of words: ``started``, ``pulled``, ``replied`` and ``finished`` are sent to
the executor; ``wait`` waits for the instruction to stop; ``deaf`` waits for ever; ``reach:PATH``
connects to the server's socket; ``kill`` and
``exit:3`` end the process; ``first:PATH`` goes on with ``exit:3`` unless PATH is there; the words
of `HOSTILE` do what a hostile app may. A real token, which has none of these words, is that of a
task that does well.
"""

import base64
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from fedstate.executor.worker import Instructions
from fedstate.flower.task_order import TaskOrder
from fedstate.forking.channel import Channel
from fedstate.forking.ending import end_with
from fedstate.unix_sockets import connect

EVENTS = ("started", "pulled", "replied", "finished")
MESSAGE = b"\x00the message"


def run(descriptor: int) -> NoReturn:
    end_with(lambda: _main(descriptor), broken=9)


def _main(descriptor: int) -> int:
    channel = Channel(socket.socket(fileno=descriptor))
    instructions = Instructions(channel)
    order = instructions.task()
    if order is None:
        return 2
    words = order.token.split() if " " in order.token else list(EVENTS)
    for word in words:
        if word.startswith("reach:"):
            _reach(order, Path(word.removeprefix("reach:")))
        else:
            _do(word, channel, instructions)
    return 0


def _reach(order: TaskOrder, place: Path) -> None:
    """Connect to the server's socket, and write down what it has said."""
    assert order.runtime_api_socket is not None
    try:
        with connect(order.runtime_api_socket, 10) as server:
            said = server.recv(64).decode()
    except OSError as error:
        said = str(error)
    place.with_suffix(".new").write_text(json.dumps([order.runtime_api_socket, said]))
    place.with_suffix(".new").rename(place)


def _do(word: str, channel: Channel, instructions: Instructions) -> None:
    name, _, argument = word.partition(":")
    match name:
        case "started" | "replied" | "finished":
            channel.send({"event": name, "pid": os.getpid()})
        case "pulled":
            channel.send({"event": name, "message": base64.b64encode(MESSAGE).decode()})
        case "wait":
            next(instructions._messages, None)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(int(argument))
        case "first" if not Path(argument).exists():
            Path(argument).touch()
            os._exit(3)
        case _ if name in HOSTILE:
            HOSTILE[name](argument, channel)


def send_raw(argument: str, channel: Channel) -> None:
    channel.socket.sendall(base64.b64decode(argument))


def flood(_argument: str, channel: Channel) -> None:
    with contextlib.suppress(OSError):
        while True:
            channel.socket.sendall(b'{"event": "replied"}\n' * 1000)


def endless_line(_argument: str, channel: Channel) -> None:
    with contextlib.suppress(OSError):
        while True:
            channel.socket.sendall(b"x" * 65536)


def started_as(argument: str, channel: Channel) -> None:
    channel.send({"event": "started", "pid": int(argument)})


def tell(argument: str, _channel: Channel) -> None:
    facts = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "user": os.getuid(),
        "directory": str(Path.cwd()),
        "environment": dict(os.environ),
        "temporary": tempfile.gettempdir(),
        "modules": sorted(sys.modules),
        "memory": str(Path("/proc/self/ns/ipc").readlink()),
        "certificate": _read(Path.cwd().parent / "ca.crt"),
    }
    Path(argument).with_suffix(".new").write_text(json.dumps(facts))
    Path(argument).with_suffix(".new").rename(argument)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def daemon(argument: str, _channel: Channel) -> None:
    """Leave a process of a session of its own behind, which writes its ID."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            Path(argument).write_text(str(os.getpid()))
            while True:
                signal.pause()
        os._exit(0)
    os.wait()
    while not (Path(argument).exists() and Path(argument).read_text()):
        time.sleep(0.01)


def bomb(argument: str, _channel: Channel) -> None:
    """Fork in every process until that is refused, and go on for ever."""
    for _ in range(int(argument)):
        with contextlib.suppress(OSError):
            os.fork()
    while True:
        time.sleep(0.01)
        with contextlib.suppress(OSError):
            if os.fork() == 0:
                time.sleep(0.05)
                os._exit(0)
            os.waitpid(-1, os.WNOHANG)


def take_memory(argument: str, _channel: Channel) -> None:
    held = bytearray(int(argument))
    held[::4096] = b"x" * len(held[::4096])
    while True:
        signal.pause()


def take_files(argument: str, _channel: Channel) -> None:
    for number in range(8):
        Path(f"taken-{number}").write_bytes(b"x" * (int(argument) // 8))
    while True:
        signal.pause()


def compute(_argument: str, _channel: Channel) -> None:
    while True:
        pass


HOSTILE: dict[str, Callable[[str, Channel], object]] = {
    "raw": send_raw,
    "flood": flood,
    "endless": endless_line,
    "started-as": started_as,
    "tell": tell,
    "daemon": daemon,
    "bomb": bomb,
    "memory": take_memory,
    "files": take_files,
    "compute": compute,
    "stop-parent": lambda *_: os.kill(os.getppid(), signal.SIGSTOP),
    "kill-parent": lambda *_: os.kill(os.getppid(), signal.SIGKILL),
}


if __name__ == "__main__":
    run(int(sys.argv[1]))
