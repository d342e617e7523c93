"""A task's process that does what the task's token says: what a fork server or a pool is given.

The token is a list of words: ``started``, ``pulled``, ``replied`` and ``finished`` are sent to
the executor; ``wait`` waits for the instruction to stop; ``deaf`` waits for ever; ``kill`` and
``exit:3`` end the process; ``first:PATH`` goes on with ``exit:3`` unless PATH is there. A real
token, which has none of these words, is that of a task that does well.
"""

import base64
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from fedstate.executor.worker import Instructions
from fedstate.forking.channel import Channel
from fedstate.forking.ending import end_with

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
        _do(word, channel, instructions)
    return 0


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


if __name__ == "__main__":
    run(int(sys.argv[1]))
