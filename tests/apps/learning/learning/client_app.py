"""The ClientApp: trains a small network whose head and optimizer never leave the node."""

import os
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedstate.state import client_state, state_of, weights_of

EXAMPLES = 256

app = ClientApp(mods=[client_state()])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train for two epochs on the node's own examples."""
    config, partition = context.run_config, int(context.node_config["partition-id"])
    state = state_of(context)
    step = len(state.history("loss"))
    seed = 1000 * int(config["seed"]) + 10 * partition
    # Dropout and the order of the examples differ in every step, and not between two tries.
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed + step)
    model = make_model()
    model.layers[0].set_weights(message.content.array_records["arrays"].to_numpy_ndarrays())
    if step:
        state.load("head", into=model)
        state.load("optimizer", into=model.optimizer)
    examples, labels = make_data(seed)
    pauses = state.server_round == config["pause-round"] and partition == 0 and config["pause"]
    callbacks = [Pause(Path(str(config["pause"])))] if pauses else []
    fit = model.fit(examples, labels, epochs=2, batch_size=16, verbose=0, callbacks=callbacks)
    state["head"] = weights_of(model, layers=["head"])
    state["optimizer"] = model.optimizer
    state.history("loss").append(fit.history["loss"][-1])
    reply = RecordDict({"arrays": ArrayRecord(model.layers[0].get_weights())})
    reply["metrics"] = MetricRecord({"steps": step + 1})
    return Message(reply, reply_to=message)


@app.query("state")
def query(message: Message, context: Context) -> Message:
    """Return the whole state."""
    state = state_of(context)
    history = state.history("loss")
    reply = RecordDict({"history": MetricRecord({"loss": history.values.tolist()})})
    model = make_model()
    state.load("head", into=model)
    state.load("optimizer", into=model.optimizer)
    arrays = [*model.layers[-1].get_weights(), *map(np.asarray, model.optimizer.variables)]
    reply["own"] = ArrayRecord(arrays)
    return Message(reply, reply_to=message)


def make_model() -> keras.Model:
    """Return a network of a shared body and the node's own head."""
    body, head = (
        keras.layers.Dense(32, activation="relu", name="body"),
        keras.layers.Dense(4, name="head"),
    )
    model = keras.Sequential([body, keras.layers.Dropout(0.2), head])
    model.build((None, 16))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.optimizer.build(model.trainable_variables)
    return model


def make_data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the node's examples, the same in every step."""
    generator = np.random.default_rng(seed)
    examples = generator.standard_normal((EXAMPLES, 16)).astype("float32")
    return examples, (examples @ generator.standard_normal((16, 4))).argmax(axis=1)


class Pause(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Wait after the first epoch until a file is there."""

    def __init__(self, go: Path) -> None:
        super().__init__()
        self._go = go

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """Say which process waits, and wait."""
        if epoch > 0:
            return
        reached = self._go.with_suffix(".reached")
        reached.with_suffix(".writing").write_text(str(os.getpid()))
        reached.with_suffix(".writing").rename(reached)
        while not self._go.exists():
            time.sleep(0.02)
