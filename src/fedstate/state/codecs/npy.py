"""NumPy arrays as Flower Arrays: the same npy format as flwr's own, with fewer copies.

``np.save`` into a buffer and ``np.load`` out of it copy an array three times; here writing
copies it once and reading does not copy at all. Any Flower code can read the result with
``Array.numpy()``, except for types that NumPy itself does not know, such as bfloat16, of which
it only sees the bytes.
"""

import math
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from fedstate.state.errors import StateDamagedError, StateTypeError

_STYPE = "numpy.ndarray"
_MAGIC = b"\x93NUMPY"
# Room for structured types of some hundred fields; it bounds what a damaged header may cost.
_MAX_HEADER = 65_536
# The x87 long double: 63 bits of mantissa in 10 bytes, padded with whatever was in memory.
_X87_MANTISSA, _X87_BYTES = 63, 10


def encode_array(array: NDArray[Any]) -> Array:
    """Return `array` as a Flower Array, C-contiguous, its dtype with byte order kept.

    Raises
    ------
    StateTypeError
        If its dtype holds Python objects, which only pickle could store.
    """
    if array.dtype.hasobject or array.dtype.kind == "T":
        raise StateTypeError(
            f"an array of dtype {array.dtype} holds Python objects, and only pickle could "
            "store them; convert it to a fixed dtype, or to a list"
        )
    header = _header(array.dtype, array.shape)
    content = np.asarray(without_padding(array), order="C")
    # Not every dtype has the buffer protocol (datetime64, bfloat16), but all have bytes.
    raw = content.reshape(-1).view(np.uint8).data if content.nbytes else b""
    return Array(dtype_name(array.dtype), array.shape, _STYPE, b"".join((header, raw)))


def decode_array(array: Array) -> NDArray[Any]:
    """Return the NumPy array in `array` as a read-only view of its bytes.

    Raises
    ------
    StateDamagedError
        If dtype, shape and data do not agree.
    StateTypeError
        If the dtype comes from a package that is not installed.
    """
    dtype, shape, start = _parse(array)
    data = memoryview(array.data)[start:]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise StateDamagedError(
            f"an array of dtype {array.dtype} and shape {shape} has {len(data)} bytes of data"
        )
    if not data:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the name that is stored for a dtype: flwr's own, with two exceptions.

    Long doubles carry the bits of their mantissa, since the same name means different types on
    different machines. Structures are named as npy describes them, which does not tell whether
    their padding was asked for by ``align`` or by offsets.
    """
    if is_long_double(dtype):
        return f"{dtype}/{np.finfo(dtype).nmant}"
    if dtype.names is not None:
        return str(npy_format.descr_to_dtype(npy_format.dtype_to_descr(dtype)))
    return str(dtype)


def is_long_double(dtype: np.dtype[Any]) -> bool:
    """Return whether `dtype` is a long double; other packages give its letters to their own."""
    return dtype.type in (np.longdouble, np.clongdouble)


def payload(array: Array) -> memoryview:
    """Return the bytes of elements whose dtype NumPy does not know, without the npy header.

    Raises
    ------
    StateDamagedError
        If dtype, shape and data do not agree.
    """
    _, shape, start = _parse_header(array)
    if tuple(array.shape) != shape:
        raise StateDamagedError(
            f"an Array says that it has shape {tuple(array.shape)}, its data says {shape}"
        )
    return memoryview(array.data)[start:]


def _parse(array: Array) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    dtype, shape, start = _parse_header(array)
    if dtype.kind == "V" and dtype.names is None and array.dtype != str(dtype):
        dtype = _extended_dtype(array.dtype, dtype.itemsize)
    if array.dtype != dtype_name(dtype) or tuple(array.shape) != shape:
        raise StateDamagedError(
            f"an Array says that it has dtype {array.dtype} and shape {tuple(array.shape)}, "
            f"its data says {dtype} and {shape}"
        )
    return dtype, shape, start


def _parse_header(array: Array) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    data = array.data
    width = 2 if data[6:8] == b"\x01\x00" else 4
    length = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + length
    if array.stype != _STYPE or data[:6] != _MAGIC or length > _MAX_HEADER or start > len(data):
        raise StateDamagedError(f"an Array of stype {array.stype!r} is not in npy format")
    return *_read_header(data[:start]), start


@lru_cache(maxsize=1024)
def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    is_extended = dtype.isbuiltin == 2  # registered with NumPy by another package
    stored = np.dtype((np.void, dtype.itemsize)) if is_extended else dtype
    try:
        descr = npy_format.dtype_to_descr(stored)
        fields = {"descr": descr, "fortran_order": False, "shape": shape}
        npy_format.write_array_header_1_0(buffer, fields)
    except ValueError as error:
        raise StateTypeError(f"dtype {dtype} has no npy header: {error}") from None
    return buffer.getvalue()


@lru_cache(maxsize=1024)
def _read_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    buffer = BytesIO(header)
    try:
        version = npy_format.read_magic(buffer)
        read = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read(buffer, max_header_size=_MAX_HEADER)
    except Exception as error:
        # NumPy reads a header as Python source, and lets out whatever that may raise.
        raise StateDamagedError(f"an Array has a header that is not npy: {error}") from None
    if fortran_order or dtype.hasobject or any(size < 0 for size in shape):
        raise StateDamagedError(f"an Array has a header that fedstate never writes: {header!r}")
    return dtype, shape


def _extended_dtype(name: str, itemsize: int) -> np.dtype[Any]:
    """Return a dtype that ml_dtypes brings (bfloat16, …), which npy stores as bytes."""
    try:
        import ml_dtypes  # Optional: whoever stores such an array has it (TensorFlow, JAX).
    except ImportError:
        raise StateTypeError(
            f"an array of dtype {name} needs the package ml_dtypes; install it to read it"
        ) from None
    kind = getattr(ml_dtypes, name, None)
    if not isinstance(kind, type) or np.dtype(kind).itemsize != itemsize:
        raise StateDamagedError(
            f"an Array has dtype {name}, which is no type of {itemsize} bytes"
        )
    return np.dtype(kind)


def without_padding(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` with the bytes between its values zeroed: they are no content."""
    if _is_packed(array.dtype):
        return array
    if array.dtype.names is None:
        clean = np.array(array, order="C", copy=True)
        words = clean.reshape(-1).view(np.uint8).reshape(-1, np.dtype(np.longdouble).itemsize)
        words[:, _X87_BYTES:] = 0
        return clean
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = without_padding(array[name])
    return clean


@lru_cache(maxsize=1024)
def _is_packed(dtype: np.dtype[Any]) -> bool:
    if dtype.subdtype is not None:
        return _is_packed(dtype.subdtype[0])
    if dtype.fields is None:
        return not (is_long_double(dtype) and np.finfo(dtype).nmant == _X87_MANTISSA)
    fields = [field[0] for field in dtype.fields.values()]
    return dtype.itemsize == sum(f.itemsize for f in fields) and all(map(_is_packed, fields))
