"""The ClientApp: steps that succeed, raise, refuse, and only read."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedstate.flower.contexts import context_to_bytes
from fedstate.state import History, client_state, content_digest, read_ledger, state_of


def fingerprint(
    message: Message, context: Context, call_next: Callable[[Message, Context], Message]
) -> Message:
    """Tell what the Context holds before and after a step, to the byte."""
    before = _sha256(context)
    reply = call_next(message, context)
    if not reply.has_error():
        reply.content["bytes"] = ConfigRecord({"before": before, "after": _sha256(context)})
    return reply


app = ClientApp(mods=[fingerprint, client_state()])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Store and change a value of every kind."""
    _change(context)
    return _reply(message)


@app.train("spoil")
def spoil(message: Message, context: Context) -> Message:
    """Change everything, by the library and past it, and raise."""
    _change(context)
    records: Any = context.state
    records["own"]["loss"].append(-1.0)
    records["stowaway"] = ConfigRecord({"a": 1})
    del records["array"]
    raise ValueError("spoiled")


@app.train("refuse")
def refuse(message: Message, context: Context) -> Message:
    """Change everything, and reply with an error."""
    _change(context)
    return Message(Error(code=1, reason="refused"), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Read everything."""
    state = state_of(context)
    rounds = state["count"]
    seen = {
        "count": rounds == len(state["list"]) == len(state.history("loss")),
        "history": state.history("loss").values.tolist() == [n / 4 for n in range(rounds)],
        "bounded": state["bounded"] == _bounded(rounds),
        "nested": state["nested"]["deep"][0][1].tolist() == [float(rounds)] * 3,
        "types": (type(state["nested"]["deep"][0]), state["nested"][7]) == (tuple, b"\x00x"),
        "array": state["array"].dtype == np.dtype(">f4") and state["array"].sum() == 6 * rounds,
        "bfloat16": state["half"].dtype == ml_dtypes.bfloat16 and float(state["half"]) == rounds,
        "empty": state["empty"].shape == (0, 3),
        "own": state["own"]["loss"] == [float(n) for n in range(rounds)],
    }
    reply = _reply(message)
    reply.content["seen"] = ConfigRecord(
        {"rounds": rounds, "wrong": [k for k in seen if not seen[k]]}
    )
    reply.content["held"] = ConfigRecord(
        {
            "digest": content_digest(context.state),
            "entries": json.dumps([entry.to_dict() for entry in read_ledger(context.state)]),
            "node_id": str(context.node_id),
            "run_id": str(context.run_id),
        }
    )
    return reply


def _change(context: Context) -> None:
    state = state_of(context)
    rounds = state.get("count", 0) + 1
    state["count"] = rounds
    state.setdefault("list", []).append(f"round {rounds}")
    nested = state.setdefault("nested", {"deep": [(1, np.zeros(3))], 7: b"\x00x"})
    nested["deep"][0][1][:] += 1
    state["array"] = np.full((3, 2), rounds, ">f4").T
    state["half"] = np.array(rounds, ml_dtypes.bfloat16)
    state["empty"] = np.zeros((0, 3))
    state.history("loss").append((rounds - 1) / 4)
    state.history("bounded", limit=1).append(rounds)
    own = state.setdefault("own", MetricRecord({"loss": list[float]()}))
    own["loss"].append(float(rounds - 1))


def _bounded(rounds: int) -> History:
    history = History(limit=1)
    for number in range(1, rounds + 1):
        history.append(number, number)
    return history


def _reply(message: Message) -> Message:
    content = RecordDict({"metrics": MetricRecord({"num-examples": 1})})
    return Message(content, reply_to=message)


def _sha256(context: Context) -> str:
    return hashlib.sha256(context_to_bytes(context)).hexdigest()
