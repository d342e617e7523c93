"""The ClientApp: trains, and keeps its weights and losses in its Context."""

from typing import cast

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from bench_torch.task import train as train_part

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the global model on the node's part of the data."""
    weights, loss = train_part(
        message.content.array_records["arrays"].to_numpy_ndarrays(),
        float(context.run_config["megabytes"]),
        int(context.node_config["partition-id"]),
        int(context.node_config["num-partitions"]),
    )
    before = context.state.metric_records.get("losses", MetricRecord({"loss": []}))
    losses = cast("list[float]", before["loss"])
    context.state["losses"] = MetricRecord({"loss": [*losses, loss]})
    arrays = ArrayRecord(weights)
    context.state["weights"] = arrays
    return Message(RecordDict({"arrays": arrays}), reply_to=message)
