"""Going on in a bare interpreter: the process of a task executes itself anew, in place.

A bare process has imported what flwr's own process for the task imports, and nothing else. It has
the process ID and the channel of the one before; what the task was given and its token, which the
server gives out once, go over in memory.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from fedstate import system
from fedstate.flower.task_order import TaskOrder
from fedstate.forking.channel import Channel

_LENGTH_BYTES = 8

_bare: list[bool] = []


def mark() -> None:
    """Note that nothing was preloaded in this process, nor will be in its forks."""
    _bare.append(True)


def is_bare() -> bool:
    """Return whether nothing was preloaded in this process, or the one that it is a fork of."""
    return bool(_bare)


@dataclass
class Handover:
    """What the process of a task needs to go on in a bare interpreter.

    Attributes
    ----------
    order
        The task.
    channel
        The channel to the executor.
    environment
        The environment in which it begins anew.
    given
        What the server has given out for the task, if this is already the bare process.
    """

    order: TaskOrder
    channel: Channel
    environment: Mapping[str, str]
    given: bytes | bytearray | None = None

    def go_bare(self, given: bytes | bytearray, reason: str, *, cold: bool) -> NoReturn:
        """Go on in a bare interpreter; whatever this process has done is gone.

        Parameters
        ----------
        given
            What the server has given out for the task.
        reason
            Why, as a sentence for the executor's log.
        cold
            Whether the room of the run must not import anything for its tasks any longer.
        """
        self.channel.send({"event": "bare", "reason": reason, "cold": cold})
        memory = _write(self.order, given)
        descriptor = self.channel.fileno()
        os.set_inheritable(descriptor, True)
        os.set_blocking(descriptor, True)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.execve(  # noqa: S606
            sys.executable,
            [
                *(sys.executable, "-P", "-m", "fedstate.executor.worker"),
                *(str(descriptor), str(memory)),
            ],
            dict(self.environment),
        )


def take_over(memory: int) -> tuple[TaskOrder, bytearray]:
    """Return what `Handover.go_bare` has handed over to this process."""
    mark()
    size = os.fstat(memory).st_size
    length = int.from_bytes(_read(memory, _LENGTH_BYTES), "big")
    header = json.loads(_read(memory, length))
    given = _read(memory, size - _LENGTH_BYTES - length)
    os.close(memory)
    # An execution makes a process readable again for others of its user.
    if not header["dumpable"]:
        system.prctl(system.PR_SET_DUMPABLE, 0)
    from fedstate.executor import room  # which imports this module

    room.remember(header["plan"], header["passage"])
    return TaskOrder.from_json(header["task"]), given


def _write(order: TaskOrder, given: bytes | bytearray) -> int:
    """Return a descriptor of memory that has the order and what was given."""
    from fedstate.executor import room  # which imports this module

    dumpable = system.prctl(system.PR_GET_DUMPABLE) != 0
    header = json.dumps(
        {
            "task": order.to_json(),
            "dumpable": dumpable,
            "plan": room.remembered(),
            "passage": room.inherited_passage(),
        }
    ).encode()
    memory = os.memfd_create("task", 0)
    for piece in (len(header).to_bytes(_LENGTH_BYTES, "big"), header, given):
        left = memoryview(piece)
        while left:
            left = left[os.write(memory, left) :]
    os.lseek(memory, 0, os.SEEK_SET)
    return memory


def _read(descriptor: int, size: int) -> bytearray:
    data = bytearray(size)
    left = memoryview(data)
    while left:
        left = left[os.readv(descriptor, [left]) :]
    return data
