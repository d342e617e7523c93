"""A part of a model stays with the client: its head, while the body comes anew each time."""

from flwr.app import Context

from fedstate.state import state_of, weights_of
from guide.keras_model import make_model


def run(context: Context) -> None:
    """Load the client's own head into a new model, and train it a little."""
    state = state_of(context)
    model = make_model()
    if "head" in state:
        state.load("head", into=model)
    body, head = model.get_layer("body"), model.get_layer("head")
    print(f"body={body.kernel.numpy().tolist()} head={head.kernel.numpy().tolist()}")
    head.kernel.assign_add(head.kernel * 0 + 1)
    state["head"] = weights_of(model, layers=["head"])
