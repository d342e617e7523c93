"""Arrays by name, as files of npz, safetensors and PyTorch; and the weights of a Keras model."""

import io
import os
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from fedstate.inspection.errors import InspectionError

Arrays = Mapping[str, NDArray[Any]]

_SAFETENSORS = {
    *("float64", "float32", "float16", "bfloat16", "bool", "complex64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float8_e4m3fn", "float8_e5m2"),
}
# What HDF5 writes at most: for a file, and for each weight and the groups that it is in; and the
# bytes of an element, were it of the widest type.
_AROUND, _OF_A_WEIGHT, _WIDEST = 1 << 20, 1 << 14, 8
_TORCH_RAW = {"bfloat16", "float8_e4m3fn", "float8_e5m2"}


def write_npz(arrays: Arrays, file: Path) -> None:
    """Write arrays as ``numpy.load`` reads them.

    Types that the format does not have, such as bfloat16, become the next larger one that it
    has, which holds the same numbers.
    """
    with file.open("wb") as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                npy_format.write_array(entry, _known_to_numpy(array), allow_pickle=False)


def write_safetensors(arrays: Arrays, metadata: Mapping[str, str], file: Path) -> None:
    """Write arrays with the library safetensors.

    Raises
    ------
    InspectionError
        The library is not installed, or the format has no such type.
    """
    numpy = _imported("safetensors.numpy", "safetensors", "fedstate[export]")
    for name, array in arrays.items():
        if array.dtype.name not in _SAFETENSORS:
            raise InspectionError(
                f"The array {name!r} has dtype {array.dtype}, which safetensors does not have; "
                "export it as npz."
            )
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    numpy.save_file(whole, file, metadata=dict(metadata))


def write_torch(arrays: Arrays, file: Path) -> None:
    """Write tensors by name as ``torch.load(..., weights_only=True)`` reads them.

    Raises
    ------
    InspectionError
        PyTorch is not installed, or has no such type.
    """
    torch = _imported("torch", "PyTorch", "torch")
    tensors = {name: _tensor(torch, name, array) for name, array in arrays.items()}
    content = io.BytesIO()
    torch.save(tensors, content)
    file.write_bytes(content.getbuffer())


def write_keras(model: Any, file: Path) -> None:
    """Write the weights of a model as its ``load_weights`` reads them.

    HDF5 ends the process with a segmentation fault when it has no room to write, so that the room
    is asked for before.
    """
    size = sum(_OF_A_WEIGHT + int(np.prod(w.shape)) * _WIDEST for w in model.variables)
    with file.open("r+b") as out:
        os.posix_fallocate(out.fileno(), 0, _AROUND + size)
        out.truncate(0)
    model.save_weights(file)


def _tensor(torch: Any, name: str, array: NDArray[Any]) -> Any:
    native = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.name in _TORCH_RAW:
        raw = torch.from_numpy(native.reshape(-1).view(np.uint8).copy())
        return raw.view(getattr(torch, array.dtype.name)).reshape(array.shape)
    try:
        return torch.from_numpy(native)
    except TypeError:
        raise InspectionError(
            f"The array {name!r} has dtype {array.dtype}, which PyTorch does not have; export it "
            "as npz."
        ) from None


def _known_to_numpy(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.isbuiltin != 2:  # 2: registered with NumPy by another package
        return array
    if array.dtype.kind in "iu" or array.dtype.name.startswith(("int", "uint")):
        return array.astype(np.int8 if array.dtype.name.startswith("int") else np.uint8)
    return array.astype(np.float32)


def _imported(module: str, name: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise InspectionError(
            f"This format needs {name}; install it with: pip install '{package}'."
        ) from None
