"""Arrays that wait in a file are as those in memory, to the last bit."""

import copy
import errno
import gc
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from fedstate.large.spool import ArrayOfPieces, Piece, Spool


def spooled(array: Array, size: int = 1000, kept: int = 0) -> ArrayOfPieces:
    """Return the same array in a spool, in pieces of `size` bytes; the first few in memory."""
    spool = Spool()
    data = array.data
    pieces: list[Piece] = []
    for number, start in enumerate(range(0, len(data), size)):
        piece = data[start : start + size]
        put = None if number < kept else spool.put(piece)
        pieces.append(piece if put is None else put)
    return ArrayOfPieces(array.dtype, array.shape, array.stype, pieces)


DTYPES = st.one_of(
    st_numpy.scalar_dtypes(),
    st.just(np.dtype([("a", "f4"), ("b", "i2", (2,))])),
)


@settings(deadline=None)
@given(
    st_numpy.arrays(DTYPES, st_numpy.array_shapes(min_dims=0, min_side=0, max_side=9)),
    st.integers(128, 400),
    st.integers(0, 3),
    st.booleans(),
)
def test_an_array_comes_back_as_numpy_reads_it(
    array: Any, size: int, kept: int, fortran: bool
) -> None:
    whole = Array(np.asfortranarray(array) if fortran and array.ndim else array)
    waiting = spooled(whole, size, kept)
    read, plain = waiting.numpy(), whole.numpy()
    assert read.dtype == plain.dtype
    assert read.shape == plain.shape
    assert read.tobytes() == plain.tobytes()
    assert read.flags.writeable == plain.flags.writeable
    assert waiting.data == whole.data
    assert waiting == whole
    assert whole == waiting


def test_it_is_an_array_for_whoever_has_it() -> None:
    whole = Array(np.arange(5000.0))
    waiting = spooled(whole)
    assert isinstance(waiting, Array)
    assert waiting.object_id == whole.object_id
    assert waiting != Array(np.arange(5001.0))
    for again in (copy.copy(waiting), copy.deepcopy(waiting)):
        assert type(again) is Array
        assert again == whole
    waiting.data = b"other"
    assert waiting.data == b"other"


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"own" * 900, b"\x93NUMPY\x01\x00\xff\xff{"])
def test_what_is_not_npy_is_refused_as_from_memory(data: bytes) -> None:
    whole = Array("float32", (3,), "numpy.ndarray", data)
    outcomes = []
    for array in (whole, spooled(whole)):
        with pytest.raises((ValueError, EOFError)) as raised:
            array.numpy()
        outcomes.append(type(raised.value))
    assert outcomes[0] is outcomes[1]
    other = spooled(Array("float32", (3,), "own", data))
    with pytest.raises(TypeError, match="own"):
        other.numpy()


def test_an_array_with_too_few_bytes_is_refused() -> None:
    whole = Array(np.arange(1000.0))
    whole.data = whole.data[:-1]
    with pytest.raises(ValueError, match="EOF"):
        spooled(whole).numpy()


def test_the_file_has_no_name_and_ends_with_its_last_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    waiting = spooled(Array(np.arange(5000.0)))
    assert not list(tmp_path.iterdir())
    links = {os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}  # noqa: PTH115
    assert any(str(tmp_path) in link for link in links)
    del waiting
    gc.collect()
    open_files = [each for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert not any(str(tmp_path) in os.readlink(each) for each in open_files)  # noqa: PTH115


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_without_room_it_stays_in_memory(
    code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    writes: list[int] = []
    write = os.pwrite

    def full(descriptor: int, data: memoryview, at: int) -> int:
        writes.append(at)
        if at >= 2000:
            raise OSError(code, os.strerror(code))
        return write(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    whole = Array(np.arange(1000.0))
    assert spooled(whole) == whole
    assert len(writes) == 3, "it is not tried again"
    assert "they stay in memory" in caplog.text


def test_without_a_directory_it_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    whole = Array(np.arange(1000.0))
    assert spooled(whole) == whole
