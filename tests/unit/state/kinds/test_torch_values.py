"""Tensors of every dtype and layout, and PyTorch's other values."""

from typing import Any

import pytest

from fedstate.state import StateFitError, StateTypeError
from tests.unit.state.steps import digest_of, sent, step, stored_and_read
from tests.unit.state.torch_objects import bits, make_net, store, torch


def test_views_are_stored_as_what_they_show() -> None:
    matrix = torch.arange(6.0).reshape(2, 3)
    conjugate = torch.tensor([1 + 2j]).conj()
    back = stored_and_read({"t": matrix.T[::2], "c": conjugate, "p": torch.nn.Parameter(matrix)})
    assert torch.equal(back["t"], matrix.T[::2])
    assert torch.equal(back["c"], conjugate)
    assert torch.equal(back["p"], matrix)


def test_tensors_may_stand_in_nested_values_and_be_changed() -> None:
    context = store(nested={"step": 3, "moments": [torch.ones(2), torch.zeros(())]})
    with step(context) as state:
        state["nested"]["moments"][0] += 1
    with step(sent(context)) as state:
        assert state["nested"]["moments"][0].tolist() == [2, 2]
        assert state["nested"]["step"] == 3


def test_what_cannot_be_stored_is_named() -> None:
    with pytest.raises(StateTypeError, match=r"layout torch._mkldnn, which cannot be stored"):
        stored_and_read({"t": torch.eye(2).to_mkldnn()})

    class Special(torch.Tensor):  # type: ignore[misc]
        pass

    with pytest.raises(StateTypeError, match=r"t is a .*Special, a kind of tensor that may hold"):
        stored_and_read({"t": torch.eye(2).as_subclass(Special)})
    with (
        step(store(net=make_net())) as state,
        pytest.raises(StateFitError, match=r"'torch.state_dict', which cannot be loaded"),
    ):
        state.load("net", into=[])


@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "bsr", "bsc"])
def test_sparse_tensors_come_back(layout: str) -> None:
    dense = torch.tensor([[0.0, 2], [3, 0]])
    convert = f"to_sparse_{layout}" if layout != "coo" else "to_sparse"
    tensor = getattr(dense, convert)(*([(1, 1)] if layout[0] == "b" else []))
    (back,) = stored_and_read([tensor])
    assert back.layout == tensor.layout
    assert torch.equal(back.to_dense(), dense)
    assert digest_of(back) == digest_of(tensor)


def test_pytorchs_other_values_come_back() -> None:
    scales = torch.tensor([0.5, 0.25], dtype=torch.float64)
    channels = torch.quantize_per_channel(
        torch.ones(2, 3), scales, torch.tensor([0, 1]), 0, torch.qint8
    )
    generator = torch.Generator().manual_seed(5)
    torch.rand(1, generator=generator)
    nested = torch.nested.nested_tensor([torch.ones(2), torch.zeros(3)])
    values = [
        *(torch.float8_e5m2, torch.device("cuda:1"), torch.Size([2, 3]), torch.strided),
        *(torch.channels_last, torch.nn.Parameter(torch.ones(2), requires_grad=False)),
        *(channels, nested, generator),
    ]
    back = stored_and_read(values)
    assert [type(item) for item in back] == [type(item) for item in values]
    assert back[:5] == values[:5]
    assert not back[5].requires_grad
    assert torch.equal(back[6].dequantize(), channels.dequantize())
    assert [t.tolist() for t in back[7].unbind()] == [[1, 1], [0, 0, 0]]
    assert torch.rand(1, generator=back[8]) == torch.rand(1, generator=generator)


DTYPES = sorted(
    {str(v).removeprefix("torch.") for v in vars(torch).values() if isinstance(v, torch.dtype)}
)


QUANTIZED = {"qint8", "quint8", "qint32"}


DTYPES_LEFT_OUT = {
    "quint4x2": "PyTorch gives nobody the elements, and does not train with them",
    "quint2x4": "as quint4x2",
}


def make_tensor(name: str, shape: tuple[int, ...]) -> Any:
    dtype = getattr(torch, name)
    if name in QUANTIZED:
        return torch.quantize_per_tensor(torch.ones(shape), 0.5, 3, dtype)
    if not shape:
        return torch.zeros(dtype.itemsize, dtype=torch.uint8).view(dtype).reshape(())
    raw = torch.arange(shape[0] * shape[1] * dtype.itemsize, dtype=torch.uint8)
    raw = raw % 2 if name == "bool" else raw
    return raw.view(dtype).reshape(shape)


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
@pytest.mark.parametrize("name", [name for name in DTYPES if name not in DTYPES_LEFT_OUT])
def test_every_dtype_comes_back_to_the_bit(name: str, shape: tuple[int, ...]) -> None:
    if name in QUANTIZED and 0 in shape:
        return
    tensor = make_tensor(name, shape)
    for back in (stored_and_read({"t": tensor})["t"], stored_and_read([tensor])[0]):
        assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
        one, other = (t.int_repr() if name in QUANTIZED else t for t in (back, tensor))
        assert bits(one) == bits(other)
    assert digest_of([tensor]) == digest_of([back])


@pytest.mark.parametrize("name", DTYPES_LEFT_OUT)
def test_a_dtype_that_is_left_out_is_refused(name: str) -> None:
    tensor = torch.quantize_per_tensor(torch.ones(4), 0.5, 3, getattr(torch, name))
    with pytest.raises(StateTypeError, match=r"convert it with dequantize\(\)"):
        stored_and_read(tensor)
