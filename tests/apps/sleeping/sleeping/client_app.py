"""A ClientApp that counts its steps."""

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .sleep import sleep

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Sleep, if it is to, and count."""
    sleep(context, "client")
    before = context.state.metric_records.get("steps") or {"count": 0}
    context.state["steps"] = MetricRecord({"count": int(str(before["count"])) + 1})
    return Message(RecordDict(), reply_to=message)
