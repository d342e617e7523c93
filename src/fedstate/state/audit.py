"""What a client holds, for a server that wants to check what it was told."""

import json

from flwr.app import ConfigRecord, Context, Message, RecordDict

from fedstate.state.client_state import read_value
from fedstate.state.content import content_digest
from fedstate.state.errors import StateTypeError
from fedstate.state.history import History
from fedstate.state.ledger import Ledger

AUDIT_RECORD = "fedstate.audit"


def audit(message: Message, context: Context, history: str = "loss") -> Message:
    """Reply with what this client holds for the run: nothing of a model but its digest.

    It has the form of a handler: ``app.query("audit")(audit)`` answers `fedstate verify`.

    Parameters
    ----------
    message : Message
        The query.
    context : Context
        The client's Context.
    history : str
        The name of the history to report.

    Returns
    -------
    Message
        With a ConfigRecord ``fedstate.audit``: the ledger as stored, the digest computed from the
        content as it is now, and the history's values.

    Raises
    ------
    StateDamagedError, StateVersionError
        If the ledger or the history cannot be read.
    StateTypeError
        If another value than a history has that name.
    """
    ledger = Ledger.read(context.state)
    entries = [] if ledger is None else [entry.to_dict() for entry in ledger.parsed()]
    kept = read_value(context.state, history) if history in context.state else History()
    if not isinstance(kept, History):
        raise StateTypeError(f"State value {history!r} is a {type(kept).__name__}, no history.")
    record = ConfigRecord(
        {
            "partition-id": int(context.node_config.get("partition-id", -1)),
            "entries": json.dumps(entries),
            "history": kept.values.tolist(),
            "digest": content_digest(context.state),
        }
    )
    return Message(RecordDict({AUDIT_RECORD: record}), reply_to=message)
