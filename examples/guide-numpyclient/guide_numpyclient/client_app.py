"""The guide's SimpleClient, without memory and with it."""

import random

from flwr.app import ConfigRecord, Context
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp

from fedstate.state import client_state, state_of


class ForgetfulClient(NumPyClient):
    """By design, the whole object is made anew for each call of evaluate()."""

    def __init__(self) -> None:
        self.n_val: list[int] = []

    def evaluate(self, parameters, config):
        """Add a number to a list that will be empty again the next time."""
        self.n_val.append(random.randint(0, 10))
        print(f"{self.n_val=}")
        return 0.0, 1, {}


class SimpleClient(NumPyClient):
    """Keeps its numbers in the Context."""

    def __init__(self, context: Context) -> None:
        self.client_state = state_of(context)  # a reference to the state of your ClientApp
        self.client_state.setdefault("eval_metrics", ConfigRecord())
        # It has the numbers of all calls before.
        print(f"configs_records={dict(self.client_state)}")

    def evaluate(self, parameters, config):
        """Add a number to the list that persists."""
        n_val = self.client_state["eval_metrics"].setdefault("n_val", [])
        n_val.append(random.randint(0, 10))
        return 0.0, 1, {}


def client_fn(context: Context) -> Client:
    """Return the client that the run config asks for."""
    if context.run_config["stateful"]:
        return SimpleClient(context).to_client()
    return ForgetfulClient().to_client()


app = ClientApp(client_fn=client_fn, mods=[client_state()])
