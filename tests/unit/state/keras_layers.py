"""How to make a layer of each class of `keras.layers`, and what to feed it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

L = keras.layers
_RANDOM = np.random.default_rng(0)

IMAGE = _RANDOM.uniform(0, 255, (2, 8, 8, 3)).astype("float32")
SERIES = _RANDOM.normal(size=(2, 6, 4)).astype("float32")
VOLUME = _RANDOM.normal(size=(2, 4, 4, 4, 2)).astype("float32")
FLAT = _RANDOM.normal(size=(2, 4)).astype("float32")
OTHER = _RANDOM.normal(size=(2, 4)).astype("float32")
SOUND = _RANDOM.normal(size=(2, 600)).astype("float32")
FRAMES_1D = _RANDOM.normal(size=(2, 3, 5, 2)).astype("float32")
FRAMES_2D = _RANDOM.normal(size=(2, 3, 5, 5, 2)).astype("float32")
FRAMES_3D = _RANDOM.normal(size=(2, 2, 4, 4, 4, 1)).astype("float32")
INDICES = np.array([[0, 1, 2], [2, 3, 1]], "int32")
WORDS = np.array([["a b"], ["b c"]])
NUMBERS = np.array([[7], [9]], "int64")


@dataclass(frozen=True)
class Case:
    """A layer, what it is called with, and what it learns from."""

    make: Callable[[], Any]
    inputs: tuple[Any, ...] = (IMAGE,)
    adapt_to: Any = None


def _each(names: str, inputs: tuple[Any, ...], *args: Any, **options: Any) -> dict[str, Case]:
    def case(name: str) -> Case:
        return Case(lambda: getattr(L, name)(*args, **options), inputs)

    return {name: case(name) for name in names.split()}


LAYERS: dict[str, Case] = {
    **_each(
        "ELU LeakyReLU PReLU ReLU Softmax Identity Flatten Masking UnitNormalization", (FLAT,)
    ),
    **_each("ActivityRegularization", (FLAT,), l2=0.1),
    **_each("Activation", (FLAT,), "relu"),
    **_each("Add Average Concatenate Maximum Minimum Multiply Subtract", (FLAT, OTHER)),
    **_each("Dot", (FLAT, OTHER), 1),
    **_each("AlphaDropout Dropout GaussianDropout GaussianNoise", (FLAT,), 0.5),
    **_each("BatchNormalization LayerNormalization RMSNormalization", (FLAT,)),
    **_each("GroupNormalization", (FLAT,), 2),
    **_each("Attention AdditiveAttention", (SERIES, SERIES), dropout=0.3),
    **_each("MultiHeadAttention", (SERIES, SERIES), 2, 3, dropout=0.3),
    **_each("GroupQueryAttention", (SERIES, SERIES), 4, 2, 2),
    **_each("Dense", (FLAT,), 3),
    **_each("EinsumDense", (FLAT,), "ab,bc->ac", output_shape=3, bias_axes="c"),
    **_each("Embedding ReversibleEmbedding", (INDICES,), 5, 3),
    **_each("Conv1D Conv1DTranspose SeparableConv1D", (SERIES,), 2, 2),
    **_each("DepthwiseConv1D", (SERIES,), 2),
    **_each("Conv2D Conv2DTranspose SeparableConv2D", (IMAGE,), 2, 2),
    **_each("DepthwiseConv2D", (IMAGE,), 2),
    **_each("Conv3D Conv3DTranspose", (VOLUME,), 2, 2),
    **_each("AveragePooling1D", (SERIES,), 2),
    **_each("AveragePooling2D", (IMAGE,), 2),
    **_each("AveragePooling3D", (VOLUME,), 2),
    **_each("MaxPooling1D UpSampling1D Cropping1D ZeroPadding1D", (SERIES,)),
    **_each("MaxPooling2D UpSampling2D ZeroPadding2D", (IMAGE,)),
    **_each("MaxPooling3D UpSampling3D ZeroPadding3D", (VOLUME,)),
    **_each("Cropping2D Cropping3D", (VOLUME,), 1),
    **_each("Cropping2D", (IMAGE,), 1),
    **_each("GlobalAveragePooling1D GlobalMaxPooling1D", (SERIES,)),
    **_each("GlobalAveragePooling2D GlobalMaxPooling2D", (IMAGE,)),
    **_each("GlobalAveragePooling3D GlobalMaxPooling3D", (VOLUME,)),
    **_each("AdaptiveAveragePooling1D AdaptiveMaxPooling1D", (SERIES,), 2),
    **_each("AdaptiveAveragePooling2D AdaptiveMaxPooling2D", (IMAGE,), 2),
    **_each("AdaptiveAveragePooling3D AdaptiveMaxPooling3D", (VOLUME,), 2),
    **_each("SpatialDropout1D", (SERIES,), 0.5),
    **_each("SpatialDropout2D", (IMAGE,), 0.5),
    **_each("SpatialDropout3D", (VOLUME,), 0.5),
    **_each("Permute", (SERIES,), (2, 1)),
    **_each("RepeatVector", (FLAT,), 2),
    **_each("Reshape", (FLAT,), (2, 2)),
    **_each("GRU LSTM SimpleRNN", (SERIES,), 3, dropout=0.3),
    **_each("ConvLSTM1D", (FRAMES_1D,), 2, 2, dropout=0.3),
    **_each("ConvLSTM2D", (FRAMES_2D,), 2, 2),
    **_each("ConvLSTM3D", (FRAMES_3D,), 1, 2),
    "GRUCell": Case(lambda: L.RNN(L.GRUCell(3)), (SERIES,)),
    "LSTMCell": Case(lambda: L.RNN(L.LSTMCell(3), return_sequences=True), (SERIES,)),
    "SimpleRNNCell": Case(lambda: L.RNN(L.SimpleRNNCell(3, dropout=0.3)), (SERIES,)),
    "RNN": Case(lambda: L.RNN([L.GRUCell(3), L.GRUCell(3)]), (SERIES,)),
    "StackedRNNCells": Case(
        lambda: L.RNN(L.StackedRNNCells([L.LSTMCell(2), L.SimpleRNNCell(2)])), (SERIES,)
    ),
    "Bidirectional": Case(lambda: L.Bidirectional(L.LSTM(3)), (SERIES,)),
    "TimeDistributed": Case(lambda: L.TimeDistributed(L.BatchNormalization()), (SERIES,)),
    "SpectralNormalization": Case(lambda: L.SpectralNormalization(L.Dense(3)), (FLAT,)),
    "Lambda": Case(lambda: L.Lambda(lambda x: x * 2, output_shape=(4,)), (FLAT,)),
    "Rescaling": Case(lambda: L.Rescaling(0.5, 1.0), (IMAGE,)),
    "CategoryEncoding": Case(lambda: L.CategoryEncoding(5), (INDICES,)),
    "Hashing": Case(lambda: L.Hashing(5), (WORDS,)),
    "HashedCrossing": Case(lambda: L.HashedCrossing(5), (WORDS, NUMBERS)),
    "Normalization": Case(L.Normalization, (SERIES,), SERIES * 3 + 5),
    "Discretization": Case(lambda: L.Discretization(num_bins=3), (SERIES,), SERIES),
    "IntegerLookup": Case(L.IntegerLookup, (NUMBERS,), NUMBERS),
    "StringLookup": Case(L.StringLookup, (WORDS,), WORDS),
    "TextVectorization": Case(
        lambda: L.TextVectorization(max_tokens=9, output_sequence_length=3), (WORDS,), WORDS
    ),
    "STFTSpectrogram": Case(
        lambda: L.STFTSpectrogram(frame_length=64, frame_step=32), (SOUND[..., None],)
    ),
    "MelSpectrogram": Case(
        lambda: L.MelSpectrogram(fft_length=64, sequence_stride=32, num_mel_bins=8), (SOUND,)
    ),
    **_each("CenterCrop Resizing", (IMAGE,), 4, 4),
    **_each("RandomCrop", (IMAGE,), 4, 4),
    **_each("AutoContrast Equalization CutMix MixUp", (IMAGE,)),
    # One transformation each: by default, they take seconds for two images.
    **_each("RandAugment", (IMAGE,), num_ops=1),
    **_each("AugMix", (IMAGE,), num_chains=1, chain_depth=1),
    **_each("ContrastLimitedAdaptiveHistogramEqualization", (IMAGE,), tile_grid_size=(2, 2)),
    **_each("RandomBrightness RandomColorDegeneration RandomContrast", (IMAGE,), 0.5),
    **_each("RandomColorJitter", (IMAGE,), brightness_factor=0.5),
    **_each("RandomElasticTransform RandomErasing RandomFlip RandomPerspective", (IMAGE,)),
    **_each("RandomGaussianBlur RandomGrayscale RandomInvert", (IMAGE,)),
    **_each("RandomHue RandomPosterization", (IMAGE,), 0.5),
    **_each("RandomPosterization", (IMAGE,), 3),
    **_each("RandomRotation RandomSharpness RandomZoom", (IMAGE,), 0.5),
    **_each("RandomSaturation", (IMAGE,), 0.5),
    **_each("RandomShear", (IMAGE,), 0.5, 0.5),
    **_each("RandomTranslation", (IMAGE,), 0.3, 0.3),
    **_each("Solarization", (IMAGE,), 0.5, 0.5),
    "Pipeline": Case(lambda: L.Pipeline([L.RandomFlip(), L.RandomBrightness(0.5)]), (IMAGE,)),
}

LEFT_OUT = {
    "Layer": "the base of all of them",
    "Wrapper": "a base without a call of its own",
    "InputLayer": "has no state; every model here begins with one",
    "MaxNumBoundingBoxes": "has no state, and takes and gives boxes alone",
    "TFSMLayer": "its variables are those of a SavedModel, which Keras does not save, either",
    "TorchModuleWrapper": "needs Keras on PyTorch, and a process has one backend",
    "JaxLayer": "needs Keras on JAX, and a process has one backend",
    "FlaxLayer": "needs Keras on JAX, and a process has one backend",
}


def classes() -> dict[str, Any]:
    """Return the classes of `keras.layers`, each under the first of its names."""
    found: dict[int, tuple[str, Any]] = {}
    for name in dir(L):
        kind = getattr(L, name)
        if isinstance(kind, type) and issubclass(kind, L.Layer):
            kept = found.get(id(kind))
            if kept is None or name in LAYERS or name in LEFT_OUT:
                found[id(kind)] = (name, kind)
    return dict(found.values())


def model_of(case: Case) -> Any:
    """Return a compiled model with the layer of a case, and layers that learn around it."""
    inputs = [
        keras.Input(batch_shape=a.shape, dtype="string" if a.dtype.kind == "U" else str(a.dtype))
        for a in case.inputs
    ]
    fed = list(inputs)
    layer = case.make()
    takes_list = isinstance(layer, L.Add.__mro__[1] | L.Attention | L.HashedCrossing)
    output = layer(fed if takes_list else fed[0]) if len(fed) == 1 or takes_list else layer(*fed)
    output = L.Flatten()(keras.ops.cast(output, "float32"))
    model = keras.Model(inputs, L.Dense(1, name="head")(output))
    model.compile(keras.optimizers.Adam(0.1), "mse", run_eagerly=True)
    return model


def fed(case: Case) -> Any:
    """Return what the model of a case is called with."""
    tensors = [
        keras.ops.convert_to_tensor(a) if a.dtype.kind != "U" else _strings(a)
        for a in case.inputs
    ]
    return tensors if len(tensors) > 1 else tensors[0]


def _strings(array: Any) -> Any:
    import tensorflow as tf

    return tf.constant(array)
