"""Keras: a model's weights, into a new instance of it with each execution."""

import keras
from flwr.app import Context

from fedstate.state import state_of


def make_model() -> keras.Model:
    """Return a very simple model with weights of its own."""
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(4, activation="relu", name="body"),
            keras.layers.Dense(2, name="head"),
        ]
    )


def run(context: Context) -> None:
    """Store the weights in the first execution; load them in every later one."""
    state = state_of(context)
    model = make_model()
    if "weights" in state:
        state.load("weights", into=model)
    else:
        state["weights"] = model
    print(f"weights={[w.tolist() for w in model.get_weights()]}")
