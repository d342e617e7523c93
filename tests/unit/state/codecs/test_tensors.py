"""Dense tensors as Arrays, and Arrays that are none."""

import numpy as np
import pytest
from flwr.app import Array

from fedstate.state import StateDamagedError
from fedstate.state.codecs.npy import encode_array
from fedstate.state.codecs.tensors import (
    decode_tensor,
    dtype_of,
    encode_tensor,
    is_dense,
    is_tensor,
)
from tests.unit.state.torch_objects import bits, torch


def test_what_is_dense() -> None:
    tensor = torch.ones(2, 2)
    assert is_dense(tensor)
    assert is_dense(tensor.T)
    others = [
        *(torch.nn.Parameter(tensor), tensor.to_sparse(), tensor.to("meta")),
        torch.quantize_per_tensor(tensor, 0.5, 3, torch.qint8),
    ]
    for other in others:
        assert is_tensor(other)
        assert not is_dense(other)
    assert not is_tensor(np.ones(2))
    assert not is_dense(None)


def test_what_numpy_knows_is_what_flower_reads() -> None:
    stored = encode_tensor(torch.arange(6.0).reshape(2, 3).T)
    assert stored.numpy().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert decode_tensor(stored).tolist() == stored.numpy().tolist()


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_bytes_of_other_dtypes_come_back_with_memory_of_their_own(shape: tuple[int, ...]) -> None:
    tensor = torch.full(shape, 1.5, dtype=torch.bfloat16)
    stored = encode_tensor(tensor)
    assert (stored.dtype, tuple(stored.shape)) == ("bfloat16", shape)
    one, other = decode_tensor(stored), decode_tensor(stored)
    one += 1
    assert bits(other) == bits(tensor)


def test_lazy_views_of_complex_tensors_are_stored_as_what_they_show() -> None:
    tensor = torch.tensor([1 + 2j])
    assert decode_tensor(encode_tensor(tensor.conj())).tolist() == [1 - 2j]
    assert decode_tensor(encode_tensor(tensor.conj().imag)).tolist() == [-2]


@pytest.mark.parametrize("name", ["nothing", "Tensor", "strided", "", 3, None])
def test_what_is_no_dtype_of_pytorchs_is_damage(name: object) -> None:
    with pytest.raises(StateDamagedError, match="which is none of PyTorch's"):
        dtype_of(name)


def test_bytes_that_do_not_make_up_the_shape_are_damage() -> None:
    raw = encode_array(np.zeros(3, "V4"))
    stored = Array("bfloat16", raw.shape, raw.stype, raw.data)
    with pytest.raises(StateDamagedError, match=r"bfloat16 and shape \(3,\) has 12 bytes"):
        decode_tensor(stored)
