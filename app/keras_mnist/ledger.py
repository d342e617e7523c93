"""What the client remembers: its weights, its loss history, and a ledger of every step.

The ledger makes the memory checkable. Each entry carries the digest of the state that the step
loaded (its parent) and of the state that it saved, so a state that was lost, swapped or altered
between two steps breaks the chain.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import cast

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord

WEIGHTS, HISTORY, LEDGER = "weights", "history", "ledger"
COMMIT, AUDIT = "fedstate.commit", "fedstate.audit"


@dataclass(frozen=True)
class Entry:
    """One step of one client, as `fedstate verify` reads it."""

    sequence: int
    run_id: str
    node_id: str
    round: int
    message_id: str
    parent: str
    digest: str


def losses(context: Context) -> list[float]:
    """Return the loss history: one value per training step so far."""
    history = context.state.metric_records.get(HISTORY)
    return cast("list[float]", history["loss"]) if history else []


def entries(context: Context) -> list[Entry]:
    """Return the ledger: one entry per training step so far."""
    ledger = context.state.config_records.get(LEDGER)
    return [Entry(**entry) for entry in json.loads(str(ledger["entries"]))] if ledger else []


def state_digest(context: Context) -> str:
    """Return the SHA-256 of the weights and the loss history, or "" if there are none."""
    if WEIGHTS not in context.state:
        return ""
    digest = hashlib.sha256()
    for array in context.state.array_records[WEIGHTS].to_numpy_ndarrays():
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    digest.update(json.dumps(losses(context)).encode())
    return digest.hexdigest()


def commit(context: Context, message: Message, weights: ArrayRecord, loss: float) -> ConfigRecord:
    """Store a step's weights and loss, and enter it into the ledger.

    Returns
    -------
    ConfigRecord
        The entry, for the reply: what the server is told.
    """
    parent, ledger = state_digest(context), entries(context)
    context.state[HISTORY] = MetricRecord({"loss": [*losses(context), loss]})
    context.state[WEIGHTS] = weights
    entry = Entry(
        sequence=len(ledger) + 1,
        run_id=str(context.run_id),
        node_id=str(context.node_id),
        round=int(message.metadata.group_id),
        message_id=message.metadata.message_id,
        parent=parent,
        digest=state_digest(context),
    )
    context.state[LEDGER] = ConfigRecord({"entries": _to_json([*ledger, entry])})
    return ConfigRecord(asdict(entry))


def audit(context: Context) -> ConfigRecord:
    """Return what the client holds: the whole ledger, and the digest of the state as it is."""
    return ConfigRecord(
        {
            "partition-id": int(context.node_config["partition-id"]),
            "entries": _to_json(entries(context)),
            "history": losses(context),
            "digest": state_digest(context),
        }
    )


def _to_json(entries: list[Entry]) -> str:
    return json.dumps([asdict(entry) for entry in entries])
