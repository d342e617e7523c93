"""What is trained: a network of one hidden layer on scikit-learn's digits."""

from typing import cast

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

PIXELS, CLASSES, EPOCHS = 64, 10, 2
_BYTES_PER_UNIT = 4 * (PIXELS + CLASSES + 1)

Weights = list[NDArray[np.float32]]


def make_model(megabytes: float) -> keras.Model:
    """Build and compile the network; its weights take about ``megabytes`` MB."""
    units = max(1, round(megabytes * 1e6 / _BYTES_PER_UNIT))
    layers = [keras.layers.Dense(units, activation="relu"), keras.layers.Dense(CLASSES)]
    model = keras.Sequential([keras.Input((PIXELS,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss)
    return model


def train(weights: Weights, megabytes: float, part: int, parts: int) -> tuple[Weights, float]:
    """Train on one part of the digits; return the new weights and the loss."""
    images, labels = load_digits(return_X_y=True)
    model = make_model(megabytes)
    model.set_weights(weights)
    fit = model.fit(images[part::parts] / 16, labels[part::parts], epochs=EPOCHS, verbose=0)
    return cast("Weights", model.get_weights()), float(fit.history["loss"][-1])


def average(results: list[Weights]) -> Weights:
    """Average weights, each node counting alike."""
    return [np.mean(layer, axis=0) for layer in zip(*results, strict=True)]
