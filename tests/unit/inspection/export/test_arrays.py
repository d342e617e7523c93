"""Each format of arrays is read by the library whose format it is, with the same numbers."""

import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.inspection import InspectionError
from fedstate.inspection.export.arrays import write_npz, write_safetensors, write_torch
from tests.unit.optional import optional
from tests.unit.state.examples import examples
from tests.unit.state.values import arrays as stored_arrays

DTYPES = ["float64", "float32", "float16", "bool", "int8", "uint8", "int64", "uint32", ">f4"]
ARRAYS = {dtype: np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES}
EDGES = {"empty": np.zeros((0, 3)), "one": np.array(1.5), "a/b c": np.ones(1)}
SMALL = {
    name: np.array([1.0, -0.5, 3.0], getattr(ml_dtypes, name))
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")
}


def test_npz(tmp_path: Path) -> None:
    write_npz(ARRAYS | EDGES | SMALL, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as read:
        assert list(read) == [*ARRAYS, *EDGES, *SMALL]
        for name, array in (ARRAYS | EDGES).items():
            assert read[name].dtype == array.dtype
            assert np.array_equal(read[name], array)
        for name, array in SMALL.items():
            assert read[name].dtype == np.float32
            assert np.array_equal(read[name], array.astype(np.float32))


@settings(max_examples=examples(40, 1000), deadline=None)
@given(array=stored_arrays)
def test_npz_takes_every_array_that_can_be_stored(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.npz"
    write_npz({"it": np.asarray(array, order="C")}, file)
    with np.load(file, allow_pickle=False) as read:
        assert read["it"].shape == np.asarray(array, order="C").shape


def test_small_integers_of_ml_dtypes(tmp_path: Path) -> None:
    arrays = {name: np.array([1, 0], getattr(ml_dtypes, name)) for name in ("int4", "uint4")}
    write_npz(arrays, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as read:
        assert (read["int4"].dtype, read["uint4"].dtype) == (np.int8, np.uint8)


def test_safetensors(tmp_path: Path) -> None:
    optional("safetensors")
    from safetensors import safe_open

    file = tmp_path / "a.safetensors"
    write_safetensors(ARRAYS | EDGES | SMALL, {"run": "7"}, file)
    with safe_open(file, framework="numpy") as read:
        assert read.metadata() == {"run": "7"}
        assert set(read.keys()) == {*ARRAYS, *EDGES, *SMALL}
        for name, array in (ARRAYS | EDGES).items():
            assert np.array_equal(read.get_tensor(name), array)
            assert read.get_tensor(name).dtype == array.dtype.newbyteorder("=")
        assert read.get_slice("bfloat16").get_dtype() == "BF16"
    with pytest.raises(InspectionError, match=r"'t' has dtype <U1, which safetensors does not"):
        write_safetensors({"t": np.array(["a"])}, {}, file)


def test_safetensors_bfloat16_is_what_torch_reads(tmp_path: Path) -> None:
    optional("safetensors")
    torch = optional("torch")
    from safetensors.torch import load_file

    write_safetensors(SMALL, {}, tmp_path / "a.safetensors")
    read = load_file(tmp_path / "a.safetensors")
    for name, array in SMALL.items():
        assert read[name].dtype == getattr(torch, name)
        assert read[name].float().tolist() == array.astype(np.float32).tolist()


def test_torch(tmp_path: Path) -> None:
    torch = optional("torch")
    write_torch(ARRAYS | EDGES | SMALL, tmp_path / "a.pt")
    read = torch.load(tmp_path / "a.pt", weights_only=True)
    assert list(read) == [*ARRAYS, *EDGES, *SMALL]
    for name, array in (ARRAYS | EDGES).items():
        assert np.array_equal(read[name].numpy(), array)
    for name, array in SMALL.items():
        assert read[name].dtype == getattr(torch, name)
        assert read[name].float().tolist() == array.astype(np.float32).tolist()
    with pytest.raises(InspectionError, match="'t' has dtype <U1, which PyTorch does not have"):
        write_torch({"t": np.array(["a"])}, tmp_path / "a.pt")


@given(st.data())
@settings(max_examples=1)
def test_without_the_library_its_name_is_said(data: st.DataObject) -> None:
    del data
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "safetensors.numpy", None)
        with pytest.raises(InspectionError, match=r"pip install 'fedstate\[export\]'"):
            write_safetensors({}, {}, Path("a"))
        patched.setitem(sys.modules, "torch", None)
        with pytest.raises(InspectionError, match="needs PyTorch; install it with: pip install"):
            write_torch({}, Path("a"))
