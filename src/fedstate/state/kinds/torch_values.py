"""PyTorch's tensors of every layout, parameters, modules, devices and generators."""

import sys
from typing import Any

from fedstate.state.codecs.tensors import (
    decode_tensor,
    dtype_of,
    encode_tensor,
    import_torch,
    is_dense,
    is_tensor,
)
from fedstate.state.errors import StateDamagedError, StateTypeError
from fedstate.state.kinds.base import Branch, Kind, Reader, only

_LAYOUTS = {
    "sparse_csr": ("crow_indices", "col_indices"),
    "sparse_csc": ("ccol_indices", "row_indices"),
    "sparse_bsr": ("crow_indices", "col_indices"),
    "sparse_bsc": ("ccol_indices", "row_indices"),
}
_CONSTANTS = ("dtype", "layout", "memory_format")


def _of(name: str) -> Any:
    """Return a test for the very type ``torch.<name>``."""

    def accepts(value: object) -> bool:
        found: Any = sys.modules.get("torch")
        for part in name.split("."):
            found = getattr(found, part, None)
        return type(value) is found

    return accepts


def is_module(value: object) -> bool:
    """Return whether `value` is a PyTorch module."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _is_special(value: Any) -> bool:
    return _of("Tensor")(value) and not is_dense(value)


def _special_node(value: Any, branch: Branch) -> list[Any]:
    """Return a tensor that has no dense elements: on no device, sparse, quantized, nested."""
    layout = str(value.layout).removeprefix("torch.")
    value = value.detach()
    if value.is_nested:
        return ["nested", branch.node(list(value.unbind()))]
    if value.device.type == "meta":
        return ["meta", str(value.dtype).removeprefix("torch."), list(value.shape)]
    value = value.cpu()
    if value.is_quantized:
        return ["quantized", *_quantized_node(value, branch)]
    shape = list(value.shape)
    if layout == "sparse_coo":
        # The order of the elements, and repeated ones, are no content.
        value = value.coalesce()
        parts = [value.indices(), value.values()]
    elif layout in _LAYOUTS:
        parts = [*(getattr(value, name)() for name in _LAYOUTS[layout]), value.values()]
    else:
        raise StateTypeError(
            f"{branch.shown} is a tensor of layout {value.layout}, which cannot be stored; "
            "convert it with to_dense()"
        )
    return [layout, shape, *(branch.child(str(i)).node(p) for i, p in enumerate(parts))]


def _quantized_node(value: Any, branch: Branch) -> list[Any]:
    torch = sys.modules["torch"]
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype in ("quint4x2", "quint2x4"):
        raise StateTypeError(
            f"{branch.shown} is a tensor of dtype {value.dtype}, whose elements PyTorch gives "
            "to nobody; convert it with dequantize()"
        )
    integers = branch.child("integers").node(value.int_repr())
    if value.qscheme() == torch.per_tensor_affine:
        return [dtype, integers, branch.node(value.q_scale()), value.q_zero_point()]
    scales, zero_points = value.q_per_channel_scales(), value.q_per_channel_zero_points()
    parts = [branch.child("scales").node(scales), branch.child("zeros").node(zero_points)]
    return [dtype, integers, *parts, value.q_per_channel_axis()]


def _read_special(content: Any, reader: Reader) -> Any:
    torch = import_torch()
    form, *rest = content
    if form == "meta":
        return torch.empty(rest[1], dtype=dtype_of(rest[0]), device="meta")
    if form == "nested":
        return torch.nested.nested_tensor(reader.value(rest[0]))
    if form == "quantized":
        return _read_quantized(torch, rest, reader)
    shape, *nodes = rest
    parts = [reader.value(node) for node in nodes]
    if form == "sparse_coo":
        return torch.sparse_coo_tensor(*parts, shape, check_invariants=True, is_coalesced=True)
    if form not in _LAYOUTS:
        raise StateDamagedError(f"a tensor has the unknown layout {form!r}")
    layout = getattr(torch, form)
    return torch.sparse_compressed_tensor(*parts, shape, layout=layout, check_invariants=True)


def _read_quantized(torch: Any, content: list[Any], reader: Reader) -> Any:
    dtype = dtype_of(content[0])
    integers, *parts = (reader.value(node) for node in content[1:])
    if len(parts) == 2:
        scale, zero_point = parts
        value = torch._make_per_tensor_quantized_tensor(integers, scale, zero_point)  # noqa: SLF001
    else:
        scales, zero_points, axis = parts
        value = torch._make_per_channel_quantized_tensor(integers, scales, zero_points, axis)  # noqa: SLF001
    if value.dtype != dtype:
        raise StateDamagedError(f"a tensor of dtype {dtype} has elements of {value.dtype}")
    return value


def _parameter_node(value: Any, branch: Branch) -> list[Any]:
    tensor = value.detach().as_subclass(sys.modules["torch"].Tensor)
    return [bool(value.requires_grad), branch.node(tensor)]


def _read_parameter(content: Any, reader: Reader) -> Any:
    requires_grad, node = content
    return import_torch().nn.Parameter(reader.value(node), requires_grad=bool(requires_grad))


def _uninitialized_node(value: Any, branch: Branch) -> list[Any]:  # noqa: ARG001
    dtype = str(value.dtype).removeprefix("torch.")
    return [type(value).__name__, dtype, bool(value.requires_grad)]


def _read_uninitialized(content: Any, reader: Reader) -> Any:  # noqa: ARG001
    parameter = import_torch().nn.parameter
    name, dtype, requires_grad = content
    if name == "UninitializedParameter":
        return parameter.UninitializedParameter(bool(requires_grad), dtype=dtype_of(dtype))
    if name == "UninitializedBuffer":
        return parameter.UninitializedBuffer(bool(requires_grad), dtype=dtype_of(dtype))
    raise StateDamagedError(f"a tensor is of the unknown class {name!r}")


def _is_uninitialized(value: object) -> bool:
    return any(
        _of(f"nn.parameter.{name}")(value)
        for name in ("UninitializedParameter", "UninitializedBuffer")
    )


def _refuse_subclass(value: Any, branch: Any) -> Any:
    raise StateTypeError(
        f"{branch.shown} is a {type(value).__module__}.{type(value).__qualname__}, a kind of "
        "tensor that may hold more than its elements; convert it with as_subclass(torch.Tensor), "
        "or register its type (fedstate.state.register)"
    )


def _is_constant(value: object) -> bool:
    return any(_of(name)(value) for name in _CONSTANTS)


def _read_constant(content: Any, reader: Reader) -> Any:  # noqa: ARG001
    torch = import_torch()
    found = getattr(torch, only(content, str), None)
    if not any(type(found) is getattr(torch, name) for name in _CONSTANTS):
        raise StateDamagedError(f"PyTorch has no constant {content!r}")
    return found


def _device_node(value: Any, branch: Branch) -> str:  # noqa: ARG001
    return str(value)


def _generator_node(value: Any, branch: Branch) -> Any:
    if value.device.type != "cpu":
        raise StateTypeError(
            f"{branch.shown} is a generator on the device {value.device}; only those on the CPU "
            "can be stored, for another device may be another one in the next round"
        )
    return branch.node(value.get_state())


def _read_generator(content: Any, reader: Reader) -> Any:
    generator = import_torch().Generator()
    generator.set_state(reader.value(content))
    return generator


def _size_node(value: Any, branch: Branch) -> list[int]:  # noqa: ARG001
    return [int(size) for size in value]


KINDS = (
    Kind(
        "tensor",
        (),
        lambda value, branch: branch.array(encode_tensor(value)),
        lambda content, reader: decode_tensor(reader.array(content)),
        (
            (
                "PyTorch tensors of every dtype (bfloat16, each float8 and float4) and layout, "
                "quantized ones, those on the device `meta`; parameters, lazy ones too"
            ),
            "the same, on the CPU",
        ),
        is_dense,
        since=1,
    ),
    Kind("special tensor", (), _special_node, _read_special, None, _is_special),
    Kind("parameter", (), _parameter_node, _read_parameter, None, _of("nn.Parameter")),
    Kind("uninitialized", (), _uninitialized_node, _read_uninitialized, None, _is_uninitialized),
    Kind("tensor subclass", (), _refuse_subclass, _refuse_subclass, None, is_tensor),
    Kind(
        "torch constant",
        (),
        lambda value, branch: str(value).removeprefix("torch."),  # noqa: ARG005
        _read_constant,
        (
            "`torch.dtype`, `torch.device`, `torch.Size`, `torch.Generator` on the CPU",
            "the same",
        ),
        _is_constant,
    ),
    Kind(
        "torch.device",
        (),
        _device_node,
        lambda content, reader: import_torch().device(only(content, str)),  # noqa: ARG005
        None,
        _of("device"),
    ),
    Kind(
        "torch.Size",
        (),
        _size_node,
        lambda content, reader: import_torch().Size(content),  # noqa: ARG005
        None,
        _of("Size"),
    ),
    Kind("torch.Generator", (), _generator_node, _read_generator, None, _of("Generator")),
)
