"""What a client holds, for a server that wants to check what it was told."""

import json

from flwr.app import ConfigRecord, Context, Message, RecordDict

from fedstate.state.client_state import read_value
from fedstate.state.content import content_digest, read_manifest
from fedstate.state.history import HistoryCodec
from fedstate.state.ledger import Ledger

AUDIT_RECORD = "fedstate.audit"


def audit(message: Message, context: Context) -> Message:
    """Reply with what this client holds for the run: nothing of a model but its digest.

    It has the form of a handler: ``app.query("audit")(audit)`` answers `fedstate verify`.

    Parameters
    ----------
    message : Message
        The query.
    context : Context
        The client's Context.

    Returns
    -------
    Message
        With a ConfigRecord ``fedstate.audit``: the ledger as stored, the digest computed from the
        content as it is now, and the values of each history by its name.

    Raises
    ------
    StateDamagedError, StateVersionError
        If the ledger or a history cannot be read.
    """
    ledger = Ledger.read(context.state)
    entries = [] if ledger is None else [entry.to_dict() for entry in ledger.parsed()]
    histories = {
        name: read_value(context.state, name).values.tolist()
        for name, stored in read_manifest(context.state).items()
        if stored.tag == HistoryCodec.tag
    }
    record = ConfigRecord(
        {
            "partition-id": int(context.node_config.get("partition-id", -1)),
            "entries": json.dumps(entries),
            "histories": json.dumps(histories),
            "digest": content_digest(context.state),
        }
    )
    return Message(RecordDict({AUDIT_RECORD: record}), reply_to=message)
