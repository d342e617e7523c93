"""PyTorch tensors as Flower Arrays; PyTorch is imported by whoever has a tensor."""

import importlib
import math
import sys
from typing import Any

from flwr.app import Array

from fedstate.state.codecs.npy import decode_array, encode_array, payload
from fedstate.state.errors import StateDamagedError, StateTypeError

_NUMPY_KNOWS = {
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
}


def is_tensor(value: object) -> bool:
    """Return whether `value` is a PyTorch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_dense(value: Any) -> bool:
    """Return whether `value` is a plain tensor whose elements can be stored one by one."""
    torch = sys.modules.get("torch")
    return (
        torch is not None
        and type(value) is torch.Tensor
        and value.layout is torch.strided
        and value.device.type != "meta"
        and not value.is_quantized
        and not value.is_nested
    )


def encode_tensor(tensor: Any) -> Array:
    """Return a dense tensor as a Flower Array; its device and gradient are not kept."""
    import torch

    # resolve_conj and resolve_neg: lazy views of complex tensors have no bytes of their own.
    dense = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    name = str(dense.dtype).removeprefix("torch.")
    if name in _NUMPY_KNOWS:
        return encode_array(dense.numpy())
    # NumPy has no such type (bfloat16, float8): store the bytes as they are.
    raw = dense.reshape(-1).view(torch.uint8).numpy().view(f"V{dense.element_size()}")
    stored = encode_array(raw.reshape(tuple(dense.shape)))
    return Array(name, stored.shape, stored.stype, stored.data)


def decode_tensor(array: Array) -> Any:
    """Return the tensor in `array`, on the CPU, with memory of its own.

    Raises
    ------
    StateTypeError
        If PyTorch is not installed.
    StateDamagedError
        If the array is not one that `encode_tensor` writes.
    """
    torch, dtype = import_torch(), dtype_of(array.dtype)
    if array.dtype in _NUMPY_KNOWS:
        return torch.from_numpy(decode_array(array).copy())
    raw = bytearray(payload(array))
    if len(raw) != math.prod(array.shape) * dtype.itemsize:
        raise StateDamagedError(
            f"a tensor of dtype {array.dtype} and shape {array.shape} has {len(raw)} bytes"
        )
    flat = torch.frombuffer(raw, dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)
    return flat.view(dtype).reshape(tuple(array.shape))


def import_torch() -> Any:
    """Return PyTorch.

    Raises
    ------
    StateTypeError
        If it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise StateTypeError("it holds PyTorch tensors; install torch to read it") from None


def dtype_of(name: Any) -> Any:
    """Return the dtype of a name.

    Raises
    ------
    StateDamagedError
        If PyTorch has no such dtype.
    """
    torch = import_torch()
    dtype = getattr(torch, name, None) if isinstance(name, str) else None
    if not isinstance(dtype, torch.dtype):
        raise StateDamagedError(f"an Array has dtype {name}, which is none of PyTorch's")
    return dtype
