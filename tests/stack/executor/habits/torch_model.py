"""A module that chooses Keras's backend before it imports Keras."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np


def fitted() -> dict[str, object]:
    """Train a model for an epoch, and tell on what."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    images = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    losses = model.fit(images, images.sum(axis=1), epochs=2, verbose=0).history["loss"]
    return {
        "backend": keras.backend.backend(),
        "weights": type(model.layers[0].kernel.value).__module__.partition(".")[0],
        "learns": losses[1] < losses[0],
    }
