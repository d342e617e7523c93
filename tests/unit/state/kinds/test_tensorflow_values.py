"""TensorFlow's tensors of every dtype, and variables, come back."""

from typing import Any

import numpy as np
import pytest

from fedstate.state import StateTypeError
from tests.unit.state.steps import digest_of, make_context, sent, step, stored_and_read


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


TENSORFLOW_LEFT_OUT = {
    "resource": "refers to something inside TensorFlow",
    "variant": "refers to something inside TensorFlow",
}


def tensorflow_dtypes(tf: Any) -> list[Any]:
    found = []
    for number in range(1, 100):  # the numbers of TensorFlow's own enumeration
        try:
            dtype = tf.as_dtype(number)
        except (TypeError, KeyError):
            continue
        found.append(dtype)
    return found


def make_tensor(tf: Any, dtype: Any) -> Any:
    if dtype == tf.string:
        return tf.constant([[b"a", b"\xff\x00"], [b"", b"bcd"]])
    if dtype.is_quantized:
        return tf.bitcast(tf.constant([[1, 2], [3, 4]], dtype.name.removeprefix("q")), dtype)
    return tf.constant(np.array([[0, 1], [1, 0]]).astype(np.float32).astype(dtype.as_numpy_dtype))


def test_every_dtype_of_tensorflow_comes_back(tf: Any) -> None:
    seen = set()
    for dtype in tensorflow_dtypes(tf):
        if dtype.name in TENSORFLOW_LEFT_OUT or dtype.name.endswith("_ref"):
            continue
        tensor = make_tensor(tf, dtype)
        back = stored_and_read({"t": [tensor]})["t"][0]
        assert isinstance(back, tf.Tensor)
        assert (back.dtype, back.shape) == (dtype, tensor.shape), dtype
        assert back.numpy().tolist() == tensor.numpy().tolist(), dtype
        assert digest_of(back) == digest_of(tensor)
        seen.add(dtype.name)
    assert {"float32", "bfloat16", "string", "qint8", "complex128", "int4"} <= seen


def test_variables_come_back_as_variables(tf: Any) -> None:
    import keras

    for value in (
        tf.Variable([1.0, 2.0], trainable=False, name="control"),
        keras.Variable([1.0, 2.0], dtype="bfloat16", trainable=False, name="control"),
    ):
        (back,) = stored_and_read([value])
        assert type(back) is type(value)
        assert (back.dtype, back.trainable, back.name) == (
            value.dtype,
            value.trainable,
            value.name,
        )
        assert np.asarray(back.numpy()).tolist() == [1, 2]
        assert digest_of(back) == digest_of(value)


def test_histories_take_tensors_and_variables(tf: Any) -> None:
    import keras

    context = make_context()
    with step(context) as state:
        for value in (tf.constant(0.5), tf.Variable([0.25]), keras.Variable(0.125)):
            state.history("loss").append(value)
        with pytest.raises(StateTypeError, match="A history's value is"):
            state.history("loss").append(tf.zeros(2))
    with step(sent(context)) as state:
        assert state.history("loss").values.tolist() == [0.5, 0.25, 0.125]


def test_what_refers_into_tensorflow_is_refused(tf: Any) -> None:
    with pytest.raises(StateTypeError, match="0 is a tensor of dtype resource, which refers"):
        stored_and_read([tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])])
