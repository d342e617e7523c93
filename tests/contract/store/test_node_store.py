"""What every node store does, encrypted or not."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.store import checkpoints
from fedstate.store.backup import back_up, restore
from fedstate.store.database import DATABASE
from fedstate.store.errors import (
    StoreDamagedError,
    StoreError,
    StoreForeignError,
    StoreFullError,
    StoreInUseError,
)
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.retention import Retention
from fedstate.store.values import CHUNK_BYTES, Value

KEY = bytes(range(32))
RUN = StoredRun(run_id=2**64 - 1, series_id=7, fab_hash="fab", finished_at=None)


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def key(request: pytest.FixtureRequest) -> bytes | None:
    found: bytes | None = request.param
    return found


@pytest.fixture
def store(tmp_path: Path, key: bytes | None) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path / "state", key=key)) as opened:
        yield opened


def add_run(store: NodeStore, run: StoredRun = RUN) -> None:
    store.add_run(run, Value(b"record"), Value(b"fab", [b"f" * 5000]), Value(b"first"))


def commit(store: NodeStore, message: str, context: Value, run: StoredRun = RUN) -> int:
    store.receive(message, run.run_id, Value(b"message"))
    commit = store.commit(message, run.series_id, context, Value(b"reply to " + message.encode()))
    store.answered(message)
    return commit.generation


def reopened(store: NodeStore, key: bytes | None) -> NodeStore:
    store.close()
    return NodeStore(store.directory, key=key)


def chunks(store: NodeStore) -> int:
    with closing(sqlite3.connect(store.path)) as connection:
        return int(connection.execute("SELECT count(*) FROM chunk").fetchone()[0])


def test_a_committed_context_and_its_reply_are_there_after_reopening(
    store: NodeStore, key: bytes | None
) -> None:
    blobs = [os.urandom(3 * CHUNK_BYTES + 17), b"", os.urandom(10)]
    add_run(store)
    assert commit(store, "m1", Value(b"header", blobs)) == 2
    with closing(reopened(store, key)) as again:
        context = again.context(RUN.series_id)
        assert context is not None
        assert (context.header, list(context.blobs)) == (b"header", blobs)
        assert again.reply("m1") == Value(b"reply to m1", [])
        assert again.run_record(RUN.run_id) == b"record"
        assert again.runs() == [RUN]
        assert again.generation == 2


def test_a_run_of_a_known_series_goes_on_with_what_it_is_given(store: NodeStore) -> None:
    add_run(store)
    commit(store, "m1", Value(b"trained"))
    later = StoredRun(run_id=9, series_id=RUN.series_id, fab_hash="fab", finished_at=None)
    store.add_run(later, Value(b"record"), Value(b"fab"), Value(b"trained, for run 9"))
    assert store.context(RUN.series_id) == Value(b"trained, for run 9", [])


def test_runs_do_not_see_each_other(store: NodeStore) -> None:
    other = StoredRun(run_id=2, series_id=8, fab_hash="fab", finished_at=None)
    add_run(store)
    add_run(store, other)
    commit(store, "m1", Value(b"mine"))
    commit(store, "m2", Value(b"theirs"), other)
    assert store.context(RUN.series_id) == Value(b"mine", [])
    assert store.context(other.series_id) == Value(b"theirs", [])


def test_only_what_changed_is_written(store: NodeStore) -> None:
    layers = [os.urandom(CHUNK_BYTES) for _ in range(10)]
    add_run(store)
    commit(store, "m1", Value(b"1", layers))
    before = chunks(store)
    layers[4] = os.urandom(CHUNK_BYTES)
    commit(store, "m2", Value(b"2", layers))
    assert chunks(store) == before + 1
    store.maintain()
    assert chunks(store) == before


def test_a_step_goes_from_received_to_committed_to_answered(store: NodeStore) -> None:
    add_run(store)
    for message in ("m1", "m2"):
        store.receive(message, RUN.run_id, Value(message.encode()))
    store.receive("m1", RUN.run_id, Value(b"again"))
    assert [step.message_id for step in store.steps("received")] == ["m1", "m2"]
    assert store.message("m1") == b"m1"

    store.commit("m1", RUN.series_id, Value(b"c"), Value(b"r"))
    assert [step.message_id for step in store.steps("committed")] == ["m1"]
    assert store.reply("m1") == Value(b"r", [])

    store.answered("m1")
    store.forget("m2")
    assert store.steps("received") == store.steps("committed") == []
    done = store.step("m1")
    assert done is not None
    assert done.status == "answered"
    assert store.reply("m1") == Value(b"r", [])


def test_an_answered_step_whose_message_comes_again_is_due_again(store: NodeStore) -> None:
    add_run(store)
    commit(store, "m1", Value(b"c"))
    reply = store.reply("m1")
    assert store.message("m1") is None
    store.receive("m1", RUN.run_id, Value(b"again"))
    assert [step.message_id for step in store.steps("committed")] == ["m1"]
    assert store.message("m1") == b"again"
    assert store.reply("m1") == reply
    store.answered("m1")
    assert store.steps("committed") == []
    assert store.message("m1") is None


def test_only_the_last_replies_are_kept(store: NodeStore) -> None:
    add_run(store)
    for number in range(5):
        commit(store, f"m{number}", Value(b"c"))
    kept = [n for n in range(5) if store.reply(f"m{n}") is not None]
    assert kept == [3, 4]
    oldest = store.step("m0")
    assert oldest is not None
    assert oldest.status == "answered"


def test_a_commit_for_an_unknown_message_changes_nothing(store: NodeStore) -> None:
    add_run(store)
    with pytest.raises(LookupError, match="no message 'nothing'"):
        store.commit("nothing", RUN.series_id, Value(b"c"), Value(b"r"))
    assert store.context(RUN.series_id) == Value(b"first", [])


def test_a_full_disk_leaves_the_old_state(store: NodeStore, key: bytes | None) -> None:
    add_run(store)
    commit(store, "m1", Value(b"old", [b"o" * CHUNK_BYTES]))
    store.receive("m2", RUN.run_id, Value(b"message"))
    store._db.execute("PRAGMA max_page_count = 40")
    # Beside a large array, which is in a file of its own, small ones that fill the database.
    blobs = [os.urandom(CHUNK_BYTES), *(os.urandom(15_000) for _ in range(60))]
    with pytest.raises(StoreFullError, match="full, so the new state was not stored"):
        store.commit("m2", RUN.series_id, Value(b"new", blobs), Value(b""))
    with closing(reopened(store, key)) as again:
        context = again.context(RUN.series_id)
        assert context is not None
        assert context.header == b"old"
        assert [step.message_id for step in again.steps("received")] == ["m2"]
        assert len(again._content.content.files()) == 1


def test_the_state_of_a_finished_run_is_freed_and_its_space_returned(store: NodeStore) -> None:
    going = StoredRun(run_id=2, series_id=8, fab_hash="other", finished_at=None)
    add_run(store)
    add_run(store, going)
    commit(store, "m1", Value(b"c", [os.urandom(20 * CHUNK_BYTES)]))
    commit(store, "m2", Value(b"kept"), going)
    store.finish_run(RUN.run_id)
    assert Retention(seconds=3600).apply(store) == []
    store.compact()
    before = store.disk_bytes

    assert Retention(seconds=0).apply(store) == [RUN.run_id]
    assert store.disk_bytes < before - 19 * CHUNK_BYTES
    assert store.runs() == [going]
    assert store.context(RUN.series_id) is None
    assert store.fab("fab") is None
    assert store.context(going.series_id) == Value(b"kept", [])


def test_the_first_run_to_finish_is_freed_first_when_space_is_short(store: NodeStore) -> None:
    runs = [StoredRun(run_id=n, series_id=n, fab_hash="fab", finished_at=None) for n in (1, 2, 3)]
    for run in runs:
        add_run(store, run)
        commit(store, f"m{run.run_id}", Value(b"c", [os.urandom(100_000)]), run)
        store.finish_run(run.run_id)
    assert Retention(seconds=3600, max_bytes=250_000).apply(store) == [1]


def test_a_run_that_is_going_is_never_freed(store: NodeStore) -> None:
    add_run(store)
    assert Retention(seconds=0, max_bytes=0).apply(store) == []
    with pytest.raises(ValueError, match="still going"):
        store.free_run(RUN.run_id)
    assert store.context(RUN.series_id) is not None


def test_the_context_of_a_series_stays_while_another_run_of_it_does(store: NodeStore) -> None:
    add_run(store)
    add_run(store, StoredRun(run_id=9, series_id=RUN.series_id, fab_hash="fab", finished_at=None))
    commit(store, "m1", Value(b"shared"))
    store.finish_run(RUN.run_id)
    assert Retention(seconds=0).apply(store) == [RUN.run_id]
    assert store.context(RUN.series_id) == Value(b"shared", [])


def test_a_second_process_is_refused(store: NodeStore, key: bytes | None) -> None:
    with pytest.raises(StoreInUseError, match="in use by another process"):
        NodeStore(store.directory, key=key)


def test_a_store_stays_with_its_node(store: NodeStore, key: bytes | None) -> None:
    store.bind("SHA256:one")
    with closing(reopened(store, key)) as again:
        again.bind("SHA256:one")
        with pytest.raises(StoreForeignError, match="belongs to the node with key SHA256:one"):
            again.bind("SHA256:two")


def test_an_older_copy_is_noticed(store: NodeStore, key: bytes | None, tmp_path: Path) -> None:
    add_run(store)
    store.compact()
    older = tmp_path / "older"
    older.write_bytes(store.path.read_bytes())
    commit(store, "m1", Value(b"newer"))
    store.close()
    store.path.write_bytes(older.read_bytes())
    with pytest.raises(StoreDamagedError, match="an older copy, it ends at commit 1"):
        NodeStore(store.directory, key=key)


def test_a_missing_log_is_noticed(store: NodeStore, key: bytes | None, tmp_path: Path) -> None:
    add_run(store)
    store.compact()
    commit(store, "m1", Value(b"in the log only"))
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (DATABASE, "node.mark"):
        (copy / name).write_bytes((store.directory / name).read_bytes())
    with pytest.raises(StoreDamagedError, match="older copy"):
        NodeStore(copy, key=key)


def test_a_backup_is_taken_while_the_store_is_open_and_restored_elsewhere(
    store: NodeStore, key: bytes | None, tmp_path: Path
) -> None:
    add_run(store)
    layer = os.urandom(2 * CHUNK_BYTES)
    commit(store, "m1", Value(b"saved", [layer]))
    backup = back_up(store.directory, tmp_path / "backup")
    commit(store, "m2", Value(b"later"))

    assert restore(tmp_path / "backup", tmp_path / "elsewhere") == backup
    with closing(NodeStore(tmp_path / "elsewhere", key=key)) as again:
        assert again.context(RUN.series_id) == Value(b"saved", [layer])
        assert again.generation == backup.generation == 2


def test_a_restore_moves_a_store_that_is_there_aside(
    store: NodeStore, key: bytes | None, tmp_path: Path
) -> None:
    add_run(store)
    back_up(store.directory, tmp_path / "backup")
    with pytest.raises(StoreInUseError):
        restore(tmp_path / "backup", store.directory, replace=True)
    commit(store, "m1", Value(b"later"))
    store.close()
    with pytest.raises(StoreError, match="Give --replace"):
        restore(tmp_path / "backup", store.directory)
    restore(tmp_path / "backup", store.directory, replace=True)
    assert list(store.directory.glob("replaced-*/node.db"))
    with closing(NodeStore(store.directory, key=key)) as again:
        assert again.context(RUN.series_id) == Value(b"first", [])


def test_a_damaged_backup_is_refused_and_nothing_changes(
    store: NodeStore, tmp_path: Path
) -> None:
    add_run(store)
    backup = tmp_path / "backup"
    back_up(store.directory, backup)
    content = bytearray(backup.read_bytes())
    content[len(content) // 2] ^= 1
    backup.write_bytes(content)
    with pytest.raises(StoreDamagedError, match="does not have its checksum"):
        restore(backup, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_message_shows_that_a_run_has_not_ended(store: NodeStore) -> None:
    add_run(store)
    store.finish_run(RUN.run_id)
    store.receive("later", RUN.run_id, Value(b"message"))
    assert store.runs() == [RUN]
    assert Retention(seconds=0).apply(store) == []


def test_retention_keeps_a_run_that_the_superlink_does_not_know(store: NodeStore) -> None:
    add_run(store)
    assert store.note_unknown(RUN.run_id)
    assert not store.note_unknown(RUN.run_id)
    assert list(store.unknown_runs()) == [RUN.run_id]
    assert Retention(seconds=0, max_bytes=0).apply(store) == []
    assert store.note_known(RUN.run_id)
    assert not store.note_known(RUN.run_id)
    assert store.unknown_runs() == {}
    with pytest.raises(ValueError, match="still going"):
        store.free_run(RUN.run_id)


def test_the_log_does_not_grow_with_every_large_commit(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a run something is always written while a checkpoint copies the log."""
    monkeypatch.setattr(checkpoints, "LOG_BYTES", CHUNK_BYTES)
    real = sqlite3.connect
    readers: list[sqlite3.Connection] = []

    class Checkpointer(sqlite3.Connection):
        def execute(self, sql: str, *_: object) -> sqlite3.Cursor:
            done = super().execute(sql)
            # A checkpoint goes as far as the oldest reader has seen: what was written since is
            # written "meanwhile".
            while readers:
                readers.pop().close()
            return done

    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, factory=Checkpointer, **k))
    add_run(store)
    store.maintain()  # so that the making of the tables is not in the first size
    sizes = []
    for number in range(6):
        # Many small arrays, which are rows.
        layers = [bytes([number, each]) * 7500 for each in range(140)]
        store.receive(f"m{number}", RUN.run_id, Value(b"message"))
        store.commit(f"m{number}", RUN.series_id, Value(b"c", layers), Value(b"reply"))
        sizes.append(store.log_bytes)
        readers.append(_reader(real, store))
        store.answered(f"m{number}")
        store.maintain()
    assert max(sizes) < 2 * min(sizes)


def _reader(connect: Callable[..., sqlite3.Connection], store: NodeStore) -> sqlite3.Connection:
    reader = connect(store.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM run").fetchone()
    return reader
