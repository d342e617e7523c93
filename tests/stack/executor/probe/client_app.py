"""An app that does what a test asks of it, and counts its steps in its Context."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
calls = 0


@app.train()
def train(message: Message, context: Context) -> Message:
    global calls
    calls += 1
    asked = message.content.config_records["asked"]
    steps = context.state.metric_records.get("steps", MetricRecord({"count": 0}))
    context.state["steps"] = MetricRecord({"count": int(str(steps["count"])) + 1})
    answer = ACTIONS[str(asked["do"])](asked, context)
    return Message(
        RecordDict({"answer": ConfigRecord({"json": json.dumps(answer)})}), reply_to=message
    )


def tell(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    return {
        "calls": calls,
        "pid": os.getpid(),
        "modules": sorted(sys.modules),
        "command": Path("/proc/self/cmdline").read_text(),
        "environment": json.dumps(dict(os.environ)),
        "descriptors": sum(map(is_open, range(1024))),
        "random": [random.random(), float(np.random.rand())],  # noqa: S311
        "file": __file__,
        "ignores children": signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL,
    }


def litter(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    """Leave a process and files behind, and say where."""
    left = []
    for place in (tempfile.gettempdir(), str(Path.home()), "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108
        path = Path(place) / f"left-{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):
            path.write_text("left")
            left.append(str(path))
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(600)
        os._exit(0)
    return {
        "calls": calls,
        "pid": os.getpid(),
        "user": os.getuid(),
        "descriptors": sum(map(is_open, range(1024))),
        "left": left,
    }


def is_open(descriptor: int) -> bool:
    # /proc/self/fd is closed to a process of a run, as its memory is to others of its user.
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def wait(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    Path(str(asked["started"])).write_text(str(os.getpid()))
    until = Path(str(asked["until"]))
    while not until.exists():
        time.sleep(0.02)
    return {"pid": os.getpid()}


def wait_deaf(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    return wait(asked, context)


def wait_in_callbacks(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    """Keep an event loop busy, so that a signal comes while a callback runs."""

    async def main() -> None:
        loop, never = asyncio.get_running_loop(), asyncio.Event()

        def call() -> None:
            until = time.monotonic() + 0.02
            while time.monotonic() < until:
                pass
            loop.call_soon(call)

        call()
        Path(str(asked["started"])).write_text(str(os.getpid()))
        await never.wait()

    asyncio.run(main())
    return {}


def fail(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    raise ZeroDivisionError("as asked")


def exit_program(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    sys.exit(3)


def cancel(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    raise asyncio.CancelledError("as asked")


def die(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def leave(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    os._exit(3)


def keep(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    context.state["kept"] = ArrayRecord([np.zeros(int(str(asked["bytes"])), dtype=np.uint8)])
    return {}


def say(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    print(asked["text"])  # noqa: T201
    return {}


def fit(asked: ConfigRecord, context: Context) -> dict[str, Any]:
    import keras

    began = time.monotonic()
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    images = np.random.default_rng(0).normal(size=(256, 8))
    losses = model.fit(images, images.sum(axis=1), epochs=3, verbose=0).history["loss"]
    return {
        "losses": losses,
        "first": float(model.get_weights()[0][0, 0]),
        "seconds": time.monotonic() - began,
    }


ACTIONS: dict[str, Callable[[ConfigRecord, Context], dict[str, Any]]] = {
    "tell": tell,
    "litter": litter,
    "wait": wait,
    "wait-deaf": wait_deaf,
    "wait-in-callbacks": wait_in_callbacks,
    "fail": fail,
    "die": die,
    "exit": exit_program,
    "cancel": cancel,
    "leave": leave,
    "keep": keep,
    "say": say,
    "fit": fit,
}
