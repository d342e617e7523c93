"""Stores with the states of real apps in them, for the tests of what can be seen of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict

from fedstate.flower.stored_values import encode_context
from fedstate.large.context import SplitContext
from fedstate.state import ClientState, open_state, register
from fedstate.store.logged_store import Failure
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value
from tests.unit.state.steps import make_message

NODE = 2**63 + 1
RUN = 2**63 + 11
OTHER = 92


@dataclass
class Progress:
    """A type of an app's own."""

    best: float
    counts: dict[str, int]


def in_store(context: Context) -> Value:
    """Return a Context as the SuperNode stores it."""
    return encode_context(SplitContext.split(context))


class Recorder:
    """Lets a run make steps in a store as a SuperNode does."""

    def __init__(
        self, store: NodeStore, run_id: int, series_id: int = 0, /, **config: Any
    ) -> None:
        self.store = store
        self.run_id = run_id
        self.context = Context(
            run_id, NODE, {"partition-id": 1}, RecordDict(), config, series_id or run_id
        )
        run = StoredRun(run_id, self.context.series_id, "fab", None)
        store.add_run(run, Value(b"record"), Value(b"fab"), in_store(self.context))

    def step(self, number: int, work: Callable[[Context, ClientState], None]) -> None:
        """Let the app do some work in a round."""
        message = make_message(number, self.run_id)
        with open_state(message, self.context) as state:
            work(self.context, state)
        self.commit(f"message-{number}")

    def commit(self, message_id: str) -> None:
        """Store the Context as it is."""
        self.store.receive(message_id, self.run_id, Value(b"message"))
        attempt = Attempt(NODE, "", "train", b"", 0.5)
        series_id = self.context.series_id
        self.store.commit(message_id, series_id, in_store(self.context), Value(b"reply"), attempt)
        self.store.answered(message_id, b"signature")

    def fail(self, message_id: str, reason: str) -> None:
        """Let a step fail."""
        self.store.receive(message_id, self.run_id, Value(b"message"))
        attempt = Attempt(NODE, "", "train", b"", 0.5)
        self.store.record_failure(message_id, Failure(self.run_id, reason, attempt))
        self.store.forget(message_id)


def weights(number: int) -> np.ndarray[Any, Any]:
    """Return an array of some chunks, of which the first changes from round to round."""
    array = np.arange(300_000, dtype=np.float32)
    array[0] = number
    return array


def remember(context: Context, state: ClientState) -> None:
    """Do what an app of ours does in a round."""
    register(Progress, tag="tests.progress", encode=vars, decode=lambda data: Progress(**data))
    number = state.server_round or 0
    state["weights"] = weights(number)
    state["progress"] = Progress(1 / number, {"images": number})
    state["notes"] = {"round": number, "mask": np.arange(4)}
    state["count"] = number
    state.history("loss").append(1 / number)


def fill(store: NodeStore) -> None:
    """Give a store a run of ours with three rounds, a failed step, and one of another app."""
    run = Recorder(store, RUN, RUN, **{"learning-rate": 0.1, "seed": 7})
    for number in (1, 2, 3):
        run.step(number, remember)
    run.fail("message-4", "The disk was full.")
    other = Recorder(store, OTHER)
    large = Array(np.arange(6000, dtype=np.float64).reshape(2, -1))
    other.context.state["net"] = ArrayRecord({"a": Array(np.ones(3, np.float32)), "b": large})
    other.context.state["metrics"] = MetricRecord({"loss": [0.5, 0.25], "epochs": 2})
    other.context.state["config"] = ConfigRecord({"name": "net", "key": b"12", "on": True})
    other.commit("other-1")
    store.finish_run(OTHER)
