"""The ClientApp: tells what is around it."""

import json

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from .around import look

app = ClientApp()


@app.query()
def query(message: Message, context: Context) -> Message:
    """Look around."""
    return Message(
        RecordDict({"seen": ConfigRecord({"json": json.dumps(look())})}), reply_to=message
    )
