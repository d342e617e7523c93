"""ClientApps that keep state in the Context in Flower's own ways, or keep none."""

import time
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import Client, NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp

counting = ClientApp()


@counting.train()
def count(message: Message, context: Context) -> Message:
    """Count the steps, and fail in one of them."""
    record = context.state.metric_records.setdefault("counter", MetricRecord({"steps": 0}))
    record["steps"] = int(record["steps"]) + 1  # type: ignore[arg-type]
    time.sleep(float(context.run_config["seconds"]))
    partition = context.node_config["partition-id"]
    if partition == 0 and record["steps"] == context.run_config["fail-round"]:
        raise RuntimeError("failed as configured")
    return reply_to(message)


nothing = ClientApp()


@nothing.train()
def forget(message: Message, context: Context) -> Message:
    """Keep nothing."""
    del context
    return reply_to(message)


head = ClientApp()


@head.train()
def personalise(message: Message, context: Context) -> Message:
    """Train the head of a model, which stays here, one step further."""
    import torch

    layer = torch.nn.Linear(4, 2)
    if "head" in context.state:
        kept = context.state.array_records["head"].to_torch_state_dict()
        layer.load_state_dict(kept)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    context.state["head"] = ArrayRecord(layer.state_dict())
    return reply_to(message)


def reply_to(message: Message) -> Message:
    """Return a reply with the arrays that came, and a number of examples."""
    content = RecordDict({"arrays": message.content.array_records["arrays"]})
    content["metrics"] = MetricRecord({"num-examples": 1})
    return Message(content, reply_to=message)


class ListClient(NumPyClient):
    """Keeps a list of numbers in the Context."""

    def __init__(self, context: Context) -> None:
        self.state = context.state

    def fit(self, parameters: Any, config: Any) -> Any:
        """Add a number to the list."""
        del config
        if "numbers" not in self.state:
            self.state["numbers"] = ConfigRecord({"list": [0]})
        numbers = self.state.config_records["numbers"]["list"]
        numbers.append(len(numbers))  # type: ignore[union-attr, arg-type]
        return [np.asarray(each) + 1 for each in parameters], 1, {}


def client_fn(context: Context) -> Client:
    """Return the client."""
    return ListClient(context).to_client()


APPS = {
    "counting": counting,
    "nothing": nothing,
    "head": head,
    "list": ClientApp(client_fn=client_fn),
    "secagg": ClientApp(client_fn=client_fn, mods=[secaggplus_mod]),
}


class Chosen(ClientApp):
    """The app that the run config names."""

    def __call__(self, message: Message, context: Context) -> Message:
        """Hand the message to it."""
        return APPS[str(context.run_config["kind"])](message, context)


app = Chosen()
