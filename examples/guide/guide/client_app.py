"""The ClientApp: runs the example that the run config names, with the client's state opened."""

from importlib import import_module

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedstate.state import client_state

app = ClientApp(mods=[client_state()])


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Run one execution of the example; what it prints is the point of it."""
    import_module(f"guide.{context.run_config['example']}").run(context)
    metrics = MetricRecord({"loss": 0.0, "num-examples": 1})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
