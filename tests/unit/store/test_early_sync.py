"""A large transaction is on its way to the disk before it is committed."""

import os
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.waiting import wait_until

from fedstate.store import early_sync
from fedstate.store.content import FILE_BYTES
from fedstate.store.early_sync import EarlySync
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

STEP = early_sync._STEP_BYTES


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the log at each sync."""
    sizes: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    return sizes


def test_a_sync_begins_every_few_mebibytes(tmp_path: Path, synced: list[int]) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"12345")
    sync = EarlySync(log)
    sync.written(STEP - 1)
    sync.written(1)
    wait_until(lambda: synced == [5])
    sync.written(STEP // 2)
    sync.close()
    assert synced == [5], "half a step is not worth a sync"


def test_another_file_is_followed(tmp_path: Path, synced: list[int]) -> None:
    (tmp_path / "other").write_bytes(b"1234567")
    sync = EarlySync(tmp_path / "log")
    sync.written(STEP - 1)
    sync.follow(tmp_path / "other")
    sync.written(STEP - 1)
    sync.written(1)
    sync.close()
    assert synced == [7]


def test_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, go, calls = tmp_path / "log", threading.Event(), []
    log.touch()

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        assert go.wait(30)

    monkeypatch.setattr(os, "fsync", fsync)
    sync = EarlySync(log)
    for _ in range(5):
        sync.written(STEP)
    go.set()
    sync.close()
    assert len(calls) == 1


def test_what_goes_wrong_is_left_to_the_commit(tmp_path: Path, synced: list[int]) -> None:
    sync = EarlySync(tmp_path / "not-there")
    sync.written(STEP)
    sync.close()
    assert synced == []


@pytest.mark.parametrize(
    ("part", "synced_early"), [(STEP // 2, ".content"), (FILE_BYTES // 2, ".db-wal")]
)
def test_a_large_commit_is_synced_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int, synced_early: str
) -> None:
    names: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            names.append(Path(f"/proc/self/fd/{descriptor}").readlink().suffix)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    parts = [np.random.default_rng(number).bytes(part) for number in range(2 * STEP // part)]
    with closing(NodeStore(tmp_path / "state")) as store:
        store.add_run(StoredRun(1, 1, "fab", None), Value(b""), Value(b""), Value(b""))
        store.receive("small", 1, Value(b""))
        store.commit("small", 1, Value(b"", [b"x"]), Value(b""))
        assert names == []
        store.receive("large", 1, Value(b""))
        store.commit("large", 1, Value(b"", parts), Value(b""))
    assert set(names) == {synced_early}
