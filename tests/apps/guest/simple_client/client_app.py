"""A ClientApp that keeps a list of numbers, ``n_val``, and adds one to it in every round."""

import random
from typing import cast

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Add a random number to ``n_val``, and report all of it."""
    if "eval_metrics" not in context.state.config_records:
        context.state["eval_metrics"] = ConfigRecord()
    eval_metrics = context.state.config_records["eval_metrics"]
    n = random.randint(0, 10)  # noqa: S311  as in the guide
    if "n_val" not in eval_metrics:
        eval_metrics["n_val"] = [n]
    else:
        cast("list[int]", eval_metrics["n_val"]).append(n)
    report = ConfigRecord({"n_val": eval_metrics["n_val"], "run": str(context.run_id)})
    return Message(RecordDict({"report": report}), reply_to=message)
