"""The model: a small convolutional network for 28 x 28 grey images."""

import keras

from keras_mnist.data import CLASSES


def make_model(learning_rate: float = 0.001, seed: int = 0) -> keras.Model:
    """Build and compile the network, with weights that depend on ``seed`` alone.

    Returns
    -------
    keras.Model
        Input (n, 28, 28, 1) of float32, output (n, 10) of logits; 7,018 weights.
    """
    # Repeats are bit-identical only if every random choice is seeded and no kernel is free to
    # sum in another order.
    keras.utils.set_random_seed(seed)
    _deterministic_kernels()
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def _deterministic_kernels() -> None:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
