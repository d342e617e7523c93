"""A ClientApp that keeps a list of numbers, ``n_val``, and adds one to it in every round."""

import random

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Add a random number to ``n_val``, and report all of it."""
    metrics = context.state.setdefault("eval_metrics", ConfigRecord())
    n_val = [*metrics.get("n_val", []), random.randint(0, 10)]  # noqa: S311  (as in the guide)
    metrics["n_val"] = n_val
    content = RecordDict({"state": ConfigRecord({"n_val": n_val, "run": str(context.run_id)})})
    return Message(content, reply_to=message)
