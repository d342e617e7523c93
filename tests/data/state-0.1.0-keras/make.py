"""Write the states in this directory, as fedstate 0.1.0 stored Keras models and optimizers.

They were written by the code of commit 4551454, where the codecs `keras.weights` and
`keras.optimizer` had version 1, in a worktree of that commit with this file copied into it::

    git worktree add /tmp/old 4551454 && cp -r tests/data /tmp/old/tests/
    cd /tmp/old && python -m pip install --editable . && \
        PYTHONPATH=. python tests/data/state-0.1.0-keras/make.py

Each file is a Context as Flower sends it. `tests/unit/state/codecs/keras/test_version_1.py` reads
them into the models that are made here.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from flwr.app import ConfigRecord, Context, Message, Metadata, RecordDict

INPUTS = np.random.default_rng(0).normal(5, 3, (8, 4)).astype("float32")
TARGETS = INPUTS[:, :1] / 10


def make_model() -> Any:
    """Return a compiled model with layers that Keras named, and a nested one."""
    layers = keras.layers
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Normalization(name="norm"),
            inner,
            layers.Dense(3),
            layers.Dropout(0.5, seed=3),
            layers.Dense(3),
            layers.Dense(1, name="head"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.1), "mse", run_eagerly=True)
    return model


def make_trained() -> Any:
    """Return the model, adapted, with weights that tell which is which, after one step."""
    model = make_model()
    model.layers[0].adapt(INPUTS)
    numbers = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(numbers.normal(size=variable.shape))
    model.optimizer.build(model.trainable_variables)
    gradients = [numbers.normal(size=v.shape) for v in model.trainable_variables]
    model.optimizer.apply([keras.ops.cast(g, "float32") for g in gradients])
    return model


def _message() -> Message:
    content = RecordDict({"config": ConfigRecord({"server-round": 1})})
    metadata = Metadata(
        run_id=11,
        message_id="message-1",
        src_node_id=1,
        dst_node_id=7,
        reply_to_message_id="",
        group_id="",
        created_at=0.0,
        ttl=3600.0,
        message_type="train",
    )
    # The form in which flwr makes the messages that it received; it is not in the overloads.
    return Message(content=content, metadata=metadata)  # type: ignore[call-overload, no-any-return]


def _write() -> None:
    from fedstate.flower.wire import context_to_bytes  # type: ignore[import-not-found]  # there

    from fedstate.state import open_state, weights_of

    model = make_trained()
    context = Context(11, 7, {}, RecordDict(), {}, 0)
    with open_state(_message(), context) as state:
        state["weights"] = model
        state["head"] = weights_of(model, ["head"])
        state["second"] = weights_of(model, lambda layer: layer is model.layers[4])
        state["optimizer"] = model.optimizer
    here = Path(__file__).parent
    (here / "context.bin").write_bytes(context_to_bytes(context))
    np.savez(here / "expected.npz", *model.get_weights(), prediction=model(INPUTS).numpy())


if __name__ == "__main__":
    _write()
