"""The ClientApp: mixes the server's values into its own and keeps a history."""

import os
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Make one step; a step that is lost or made twice changes every later one."""
    config, partition = context.run_config, int(context.node_config["partition-id"])
    server_round = message.content.config_records["config"]["server-round"]
    history = _history(context)
    noise = np.random.default_rng([int(config["seed"]), partition, len(history)])
    (given,) = message.content.array_records["arrays"].to_numpy_ndarrays()
    # 0.5 * own + 0.3 * given + noise, in place: with a large model there is no room for more.
    values = _own(context)
    values *= 0.5
    given *= 0.3
    values += given
    values += noise.standard_normal(out=given)
    if server_round == config["pause-round"] and partition == 0 and config["pause"]:
        _pause(Path(str(config["pause"])))
    time.sleep(float(config["seconds"]))
    if megabytes := int(config["ballast"]):
        _carry(context, megabytes, len(history))
    if server_round == config["oversize-round"] and partition == 0:
        # More than 2 GiB of state, which is in memory once and only as far as it is read.
        zeros = Array("uint8", (2**30,), "numpy.ndarray", bytes(2**30))
        context.state["oversize"] = ArrayRecord(dict.fromkeys("abc", zeros))
    arrays = ArrayRecord([values])
    context.state["own"] = arrays
    context.state["history"] = MetricRecord({"mean": [*history, float(values.mean())]})
    if server_round == config["fail-round"] and partition == 0:
        raise RuntimeError("failed as configured")
    reply = RecordDict({"arrays": arrays})
    reply["metrics"] = MetricRecord({"steps": len(history) + 1})
    return Message(reply, reply_to=message)


@app.query("state")
def state(message: Message, context: Context) -> Message:
    """Return the whole state."""
    reply = RecordDict({"history": MetricRecord({"mean": _history(context)})})
    reply["own"] = ArrayRecord([_own(context)])
    return Message(reply, reply_to=message)


def _history(context: Context) -> list[float]:
    record = context.state.metric_records.get("history")
    return list(record["mean"]) if record else []  # type: ignore[arg-type]


def _own(context: Context) -> np.ndarray:
    record = context.state.array_records.get("own")
    if record is None:
        return np.zeros(int(context.run_config["values"]))
    return record.to_numpy_ndarrays()[0]


def _carry(context: Context, megabytes: int, step: int) -> None:
    """Keep a large array that says which step made it; the step before must have kept its own."""
    record = context.state.array_records.get("ballast")
    kept = record.to_numpy_ndarrays()[0] if record else np.zeros(0)
    size = megabytes * 125_000
    if step and not np.array_equal(kept, np.arange(size) + step * 0.5):
        raise RuntimeError(f"the ballast of step {step} was not kept")
    context.state["ballast"] = ArrayRecord([np.arange(size) + (step + 1) * 0.5])


def _pause(go: Path) -> None:
    reached = go.with_suffix(".reached")
    reached.with_suffix(".writing").write_text(str(os.getpid()))
    reached.with_suffix(".writing").rename(reached)
    while not go.exists():
        time.sleep(0.02)
