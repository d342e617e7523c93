"""TensorFlow's tensors and variables, and Keras's variables under every backend."""

import importlib
import sys
from typing import Any

import numpy as np

from fedstate.state.codecs.npy import decode_array, encode_array
from fedstate.state.errors import StateDamagedError, StateTypeError
from fedstate.state.kinds.base import Branch, Kind, Reader, only


def _is(module: str, name: str, value: object) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def is_keras_variable(value: object) -> bool:
    """Return whether `value` is a ``keras.Variable``."""
    return _is("keras", "Variable", value)


def is_variable(value: object) -> bool:
    """Return whether `value` is a ``tf.Variable``."""
    return _is("tensorflow", "Variable", value)


def is_eager(value: object) -> bool:
    """Return whether `value` is a ``tf.Tensor`` that has a value."""
    # A keras.Variable and a tf.Variable are tensors to TensorFlow, too; `numpy` tells eager ones.
    is_other = is_keras_variable(value) or is_variable(value)
    return _is("tensorflow", "Tensor", value) and not is_other and hasattr(value, "numpy")


def as_array(value: Any) -> Any:
    """Return what a tensor or variable of TensorFlow or Keras holds as a NumPy array."""
    if is_keras_variable(value):
        return np.asarray(sys.modules["keras"].ops.convert_to_numpy(value.value))
    return np.asarray(value.numpy())


def _tensor_node(value: Any, branch: Branch) -> list[Any]:
    name = value.dtype.name
    if name in ("resource", "variant"):
        raise StateTypeError(
            f"{branch.shown} is a tensor of dtype {name}, which refers to something inside "
            "TensorFlow; store what it refers to"
        )
    array = as_array(value)
    if name == "string":
        return [name, list(array.shape), branch.node([bytes(item) for item in array.ravel()])]
    return [name, branch.array(encode_array(array))]


def _read_tensor(content: Any, reader: Reader) -> Any:
    tensorflow = _import("tensorflow")
    name, *parts = content
    if name == "string":
        shape, items = parts
        return tensorflow.reshape(tensorflow.constant(reader.value(items), "string"), shape)
    array = decode_array(reader.array(parts[0])).copy()
    tensor = tensorflow.constant(array)
    if tensor.dtype.name == name:
        return tensor
    if not isinstance(name, str) or not name.startswith(("qint", "quint")):
        raise StateDamagedError(f"a tensor of dtype {name} has elements of {tensor.dtype.name}")
    return tensorflow.bitcast(tensor, name)


def _variable_node(value: Any, branch: Branch) -> list[Any]:
    name = value.name.rpartition(":")[0] or value.name
    return [name, bool(value.trainable), _tensor_node(value, branch)]


def _read_variable(content: Any, reader: Reader) -> Any:
    name, trainable, tensor = content
    value = _read_tensor(tensor, reader)
    tensorflow = _import("tensorflow")
    return tensorflow.Variable(value, trainable=bool(trainable), name=only(name, str))


def _keras_node(value: Any, branch: Branch) -> list[Any]:
    dtype = str(value.dtype)
    if dtype == "string":
        raise StateTypeError(f"{branch.shown} is a keras.Variable of text; store its value")
    options = [value.name, bool(value.trainable), dtype]
    return [*options, branch.array(encode_array(as_array(value)))]


def _read_keras(content: Any, reader: Reader) -> Any:
    name, trainable, dtype, array = content
    value = decode_array(reader.array(array)).copy()
    keras = _import("keras")
    return keras.Variable(value, dtype=dtype, trainable=bool(trainable), name=only(name, str))


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise StateTypeError(f"it holds a tensor of {name}; install {name} to read it") from None


KINDS = (
    Kind(
        "keras.Variable",
        (),
        _keras_node,
        _read_keras,
        ("`keras.Variable`", "the same, with its name"),
        is_keras_variable,
    ),
    Kind(
        "tf.Variable",
        (),
        _variable_node,
        _read_variable,
        ("`tf.Tensor`, `tf.Variable`, of every dtype, text and quantized ones too", "the same"),
        is_variable,
    ),
    Kind("tf.Tensor", (), _tensor_node, _read_tensor, None, is_eager),
)
