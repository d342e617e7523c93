"""The ClientApp: every step depends on all steps before it; one waits to be attacked."""

import os
import signal
import threading
import time

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .treasure import Treasure, call_itself

app = ClientApp()
WAIT_SECONDS = 200.0


@app.train()
def train(message: Message, context: Context) -> Message:
    """Make one step."""
    config = context.run_config
    server_round = int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
    own, losses = _own(context), _losses(context)
    noise = np.random.default_rng([int(str(config["seed"])), len(losses)])
    (given,) = message.content.array_records["arrays"].to_numpy_ndarrays()
    values = 0.5 * own + 0.3 * given + noise.standard_normal(given.shape)
    if config["tag"] and str(context.node_id) == config["node"]:
        _wait_for_attacks(f"{config['tag']}-{server_round}")
    losses.append(float(np.square(values).mean()))
    context.state["own"] = ArrayRecord([values])
    context.state["losses"] = MetricRecord({"all": losses})
    reply = RecordDict({"arrays": ArrayRecord([values]), "losses": MetricRecord({"all": losses})})
    return Message(reply, reply_to=message)


def _own(context: Context) -> np.ndarray:
    record = context.state.array_records.get("own")
    return record.to_numpy_ndarrays()[0] if record else np.zeros(1000)


def _losses(context: Context) -> list[float]:
    record = context.state.metric_records.get("losses")
    return list(record["all"]) if record else []  # type: ignore[arg-type]


def _wait_for_attacks(name: str) -> None:
    released = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: released.set())
    treasure = Treasure(name, f"treasure-{os.urandom(16).hex()}")
    call_itself(name)
    until = time.monotonic() + WAIT_SECONDS
    while not released.is_set() and time.monotonic() < until:
        time.sleep(0.02)
    if not treasure.remove():
        raise RuntimeError("the memory of this process was written by another")
    if not released.is_set():
        raise RuntimeError("nobody has let this step go on")
