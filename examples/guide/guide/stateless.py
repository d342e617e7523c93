"""A ClientApp is stateless: what is not in its Context is gone after each execution."""

import random

from flwr.app import Context


class SimpleClient:
    """The guide's client, which loses its list."""

    def __init__(self) -> None:
        self.n_val: list[int] = []

    def evaluate(self) -> None:
        """Add a number to the list, for nothing."""
        # Even though n_val has the number after this line, it will be an empty list again the
        # next time that this ClientApp runs.
        self.n_val.append(random.randint(0, 10))
        print(f"n_val={self.n_val}")


client = SimpleClient()


def run(context: Context) -> None:
    """Run one execution; the client is new in each, though it is a module's."""
    client.evaluate()
