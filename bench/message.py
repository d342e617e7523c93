"""A message without an app: what each process of `bench.walls` does, behind walls or without."""

import os
import socket
import sysconfig
import tempfile
from pathlib import Path
from typing import NoReturn

from fedstate.executor.worker import Instructions
from fedstate.forking.channel import Channel
from fedstate.forking.ending import end_with

# What an app asks of the kernel: files that are read, as by imports, some that are written, and a
# program. What it computes, no wall sees.
_READ, _WRITTEN = 200, 20


def run(descriptor: int) -> NoReturn:
    """Do the work of a message, and end this process."""
    end_with(lambda: _main(descriptor), broken=2)


def _main(descriptor: int) -> int:
    channel = Channel(socket.socket(fileno=descriptor))
    instructions = Instructions(channel)
    channel.send({"event": "started", "pid": os.getpid()})
    if instructions.task() is None:
        return 2
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:_READ]
    size = sum(len(module.read_bytes()) for module in modules)
    with tempfile.TemporaryDirectory() as directory:
        for number in range(_WRITTEN):
            (Path(directory) / str(number)).write_bytes(bytes(size // _READ))
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    channel.send({"event": "finished"})
    return 0
