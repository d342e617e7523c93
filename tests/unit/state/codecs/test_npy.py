"""Arrays in npy format: what Flower reads of ours, and what is no array of ours."""

from io import BytesIO
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from flwr.app import Array

from fedstate.state import StateDamagedError, StateTypeError
from fedstate.state.codecs.npy import (
    decode_array,
    dtype_name,
    encode_array,
    payload,
    without_padding,
)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.zeros((2, 0), np.float16),
        np.array(3),
        np.array(["a", "ü"]),
    ],
)
def test_it_is_what_flower_writes_itself(array: Any) -> None:
    ours, flowers = encode_array(array), Array(array)
    assert (ours.dtype, tuple(ours.shape), ours.stype) == (
        flowers.dtype,
        tuple(flowers.shape),
        flowers.stype,
    )
    np.testing.assert_array_equal(ours.numpy(), array)
    np.testing.assert_array_equal(decode_array(flowers), array)


def test_arrays_in_another_order_are_stored_row_by_row() -> None:
    array = np.arange(6.0).reshape(2, 3).T
    np.testing.assert_array_equal(encode_array(array).numpy(), array)
    with pytest.raises(StateDamagedError, match="a header that fedstate never writes"):
        decode_array(Array(array))  # Flower keeps the order of columns


def test_reading_does_not_copy_and_cannot_be_written_to() -> None:
    stored = encode_array(np.arange(3.0))
    view = decode_array(stored)
    assert not view.flags.writeable
    assert np.shares_memory(view, np.frombuffer(stored.data, np.uint8))


def test_a_dtype_of_another_package_is_stored_as_bytes_under_its_name() -> None:
    array = np.arange(3).astype(ml_dtypes.bfloat16)
    stored = encode_array(array)
    assert stored.dtype == "bfloat16"
    assert stored.numpy().dtype == np.dtype("V2")
    assert decode_array(stored).dtype == array.dtype
    assert bytes(payload(stored)) == array.tobytes()


def test_long_doubles_carry_the_bits_of_their_mantissa() -> None:
    assert dtype_name(np.dtype(np.longdouble)) == f"float128/{np.finfo(np.longdouble).nmant}"
    stored = encode_array(np.ones(1, np.longdouble))
    stored.dtype = "float128/112"  # of a machine with another long double
    with pytest.raises(StateDamagedError, match="says that it has dtype float128/112"):
        decode_array(stored)


def test_structures_have_one_name_however_their_padding_came_about() -> None:
    aligned = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    offsets = np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 8]})
    assert dtype_name(aligned) == dtype_name(offsets)
    dirty = np.full(16, 255, np.uint8).view(aligned)
    dirty["a"], dirty["b"] = 1, 2
    clean = without_padding(dirty)
    assert clean.tobytes()[1:8] == bytes(7)
    assert clean.tolist() == [(1, 2.0)]
    packed = np.ones(2, [("a", "i1"), ("b", "f8")])
    assert without_padding(packed) is packed


@pytest.mark.parametrize("dtype", [object, [("a", "O")], np.dtypes.StringDType()])
def test_objects_are_refused(dtype: Any) -> None:
    with pytest.raises(StateTypeError, match="holds Python objects, and only pickle could"):
        encode_array(np.zeros(1, dtype))


def npy(array: Any, version: tuple[int, int] = (1, 0)) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, array, version)
    return buffer.getvalue()


def test_the_second_version_of_the_format_is_read() -> None:
    stored = Array("float64", (2,), "numpy.ndarray", npy(np.ones(2), (2, 0)))
    assert decode_array(stored).tolist() == [1, 1]


GOOD = npy(np.ones(2))


@pytest.mark.parametrize(
    ("altered", "sentence"),
    [
        ({"stype": "torch"}, "of stype 'torch' is not in npy format"),
        ({"data": b""}, "is not in npy format"),
        ({"data": GOOD[:9]}, "is not in npy format"),
        ({"data": b"\x00" + GOOD[1:]}, "is not in npy format"),
        ({"data": GOOD[:8] + b"\xff\xff" + GOOD[10:]}, "is not in npy format"),
        ({"data": GOOD[:6] + b"\x09\x00" + GOOD[8:]}, "not in npy format|header that is not npy"),
        ({"data": GOOD.replace(b"descr", b"descx")}, "header that is not npy"),
        ({"data": GOOD.replace(b"False", b"True ")}, "a header that fedstate never writes"),
        ({"data": GOOD[:-1]}, r"dtype float64 and shape \(2,\) has 15 bytes of data"),
        ({"data": GOOD + b"x"}, "has 17 bytes of data"),
        ({"dtype": "float32"}, "says that it has dtype float32 .* its data says float64"),
        ({"shape": (1, 2)}, r"and shape \(1, 2\), its data says float64 and \(2,\)"),
        ({"dtype": "V2", "data": npy(np.zeros(2, "V4"))}, "no type of 4 bytes"),
        ({"dtype": "bfloat16", "data": npy(np.zeros(2, "V4"))}, "bfloat16, .* no type of 4"),
        ({"dtype": "finfo", "data": npy(np.zeros(2, "V4"))}, "finfo, which is no type of 4"),
    ],
)
def test_what_does_not_agree_is_damage(altered: dict[str, Any], sentence: str) -> None:
    fields = {"dtype": "float64", "shape": (2,), "stype": "numpy.ndarray", "data": GOOD} | altered
    with pytest.raises(StateDamagedError, match=sentence):
        decode_array(Array(**fields))


def test_a_payload_of_another_shape_is_damage() -> None:
    with pytest.raises(StateDamagedError, match=r"shape \(3,\), its data says \(2,\)"):
        payload(Array("bfloat16", (3,), "numpy.ndarray", GOOD))
