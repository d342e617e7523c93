"""What threads that share a node store wait for, and what they see of each other."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.waiting import wait_until

from fedstate import failpoints
from fedstate.store import checkpoints
from fedstate.store.backup import back_up
from fedstate.store.cipher import PlainCipher
from fedstate.store.errors import StoreError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.retention import Retention
from fedstate.store.values import CHUNK_BYTES, Value

KEY = bytes(range(32))
ONE = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
OTHER = StoredRun(run_id=2, series_id=2, fab_hash="fab", finished_at=None)


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path / "state", key=request.param)) as opened:
        for run in (ONE, OTHER):
            opened.add_run(run, Value(b"record"), Value(b"fab"), number(0))
            opened.receive(f"m{run.run_id}", run.run_id, Value(b"message"))
        yield opened


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def number(count: int) -> Value:
    """A state that carries a number in each of its pieces."""
    piece = bytes([count]) * 1000
    return Value(b"%d" % count, [piece, piece * 2, piece])


def number_of(value: Value | None) -> int:
    """The number that a state carries; fails if it is a mix of two."""
    assert value is not None
    count = int(value.header)
    assert [bytes(blob) for blob in value.blobs] == list(number(count).blobs)
    return count


class Held:
    """A commit that stops inside its transaction, before it is committed."""

    def __init__(self, point: Path) -> None:
        self._point = point
        self._reached = Path(f"{point}.reached")

    def wait(self) -> None:
        """Wait until the commit is there."""
        wait_until(self._reached.exists)

    def release(self) -> None:
        """Let it go on."""
        self._point.touch()


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Held]]:
    points: list[Held] = []

    def hold() -> Held:
        points.append(Held(tmp_path / "point"))
        monkeypatch.setenv(failpoints.VARIABLE, f"store-write=pause:{tmp_path / 'point'}")
        failpoints.arm()
        return points[-1]

    yield hold
    for point in points:
        point.release()
    monkeypatch.delenv(failpoints.VARIABLE, raising=False)
    failpoints.arm()


def test_every_read_completes_while_a_commit_is_inside_its_transaction(
    store: NodeStore, pool: ThreadPoolExecutor, held: Callable[[], Held]
) -> None:
    hold = held()
    commit = pool.submit(store.commit, "m1", ONE.series_id, number(1), number(1))
    hold.wait()
    reads: dict[str, Callable[[], object]] = {
        "context of another run": lambda: number_of(store.context(OTHER.series_id)),
        "context of the same run": lambda: number_of(store.context(ONE.series_id)),
        "context_header": lambda: store.context_header(OTHER.series_id),
        "context_generation": lambda: store.context_generation(ONE.series_id),
        "fab": lambda: store.fab("fab"),
        "run_record": lambda: store.run_record(ONE.run_id),
        "runs": store.runs,
        "step": lambda: store.step("m1"),
        "steps": lambda: store.steps("committed"),
        "message": lambda: store.message("m1"),
        "reply": lambda: store.reply("m1"),
        "unknown_runs": store.unknown_runs,
        "receipt": lambda: store.receipt("m1"),
        "chains": store.chains,
        "rows of the log": lambda: store.rows_after(0, [ONE.run_id], 10),
        "held": lambda: store.held(ONE.run_id, bytes),
        "state": lambda: store.state(ONE.series_id),
        "kept states": lambda: store.kept_states(ONE.run_id),
        "a kept Context": lambda: store.kept_context(ONE.run_id),
        "finished_bytes": lambda: list(store.finished_bytes()),
        "a run that is known": lambda: store.note_known(OTHER.run_id),
    }
    results = {name: pool.submit(read).result(60) for name, read in reads.items()}
    assert not commit.done()
    # What is not committed is not there.
    assert results["context of another run"] == results["context of the same run"] == 0
    assert results["reply"] is results["receipt"] is None
    assert results["steps"] == results["rows of the log"] == []
    hold.release()
    assert commit.result(60).generation == store.generation == 3
    assert number_of(store.context(ONE.series_id)) == number_of(store.reply("m1")) == 1


def test_the_digests_of_a_commit_are_ready_when_the_one_before_it_ends(
    store: NodeStore,
    pool: ThreadPoolExecutor,
    held: Callable[[], Held],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = Value(b"", [os.urandom(CHUNK_BYTES) for _ in range(6)])
    hold = held()
    first = pool.submit(store.commit, "m1", ONE.series_id, number(1), number(1))
    hold.wait()
    digested: list[int] = []
    cipher = store._cipher

    class Watched(PlainCipher):
        def digest(self, plain: bytes | memoryview) -> bytes:
            digest = cipher.digest(plain)
            digested.append(len(plain))
            return digest

    monkeypatch.setattr(store, "_cipher", Watched())
    second = pool.submit(store.commit, "m2", OTHER.series_id, large, Value(b""))
    wait_until(lambda: digested == [CHUNK_BYTES] * 6)
    assert not first.done()
    assert not second.done()
    hold.release()
    assert [each.result(60).generation for each in (first, second)] == [3, 4]
    assert store.context(OTHER.series_id) == large


def test_no_reader_sees_a_mix_of_two_states(store: NodeStore, pool: ThreadPoolExecutor) -> None:
    """While states are committed, and the ones before them are deleted under their readers."""
    last, ended = 10, threading.Event()

    def write(run: StoredRun) -> None:
        for count in range(1, last + 1):
            message = f"m{run.run_id}-{count}"
            store.receive(message, run.run_id, Value(b"message"))
            store.commit(message, run.series_id, number(count), number(count))
            store.answered(message)

    def maintain() -> None:
        while not ended.is_set():
            store.maintain()

    def read(run: StoredRun) -> int:
        seen, reads = 0, 0
        while seen < last and not ended.is_set():
            now = number_of(store.context(run.series_id))
            assert now >= seen
            # A reply is committed with its state, and states come after it: never before.
            if now:
                reply = store.reply(f"m{run.run_id}-{now}")
                assert reply is None or number_of(reply) == now
            seen, reads = now, reads + 1
        return reads

    readers = [pool.submit(read, run) for run in (ONE, OTHER) for _ in range(2)]
    maintenance = pool.submit(maintain)
    writers = [pool.submit(write, run) for run in (ONE, OTHER)]
    try:
        for writer in writers:
            writer.result(120)
        assert all(reader.result(60) > 0 for reader in readers)
    finally:
        ended.set()
    maintenance.result(60)


class Model:
    """What a store must answer after a number of operations, one after the other."""

    def __init__(self) -> None:
        self.contexts = {1: 0, 2: 0}
        self.count = 0


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    operations=st.lists(
        st.tuples(
            st.sampled_from(["commit", "set", "maintain", "compact", "read"]), st.booleans()
        )
    )
)
def test_a_read_that_begins_before_an_operation_sees_what_was_before_it(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, bool]]
) -> None:
    """A snapshot stays as it was, whatever is written, collected or checkpointed meanwhile."""
    with closing(NodeStore(tmp_path_factory.mktemp("model"))) as store:
        model = Model()
        for run in (ONE, OTHER):
            store.add_run(run, Value(b"record"), Value(b"fab"), number(0))
        for operation, other in operations:
            run = OTHER if other else ONE
            with ThreadPoolExecutor(1) as thread:
                begun, go_on = threading.Event(), threading.Event()
                # Emptying the log waits for who reads, so that nobody does then.
                reading = operation != "compact"
                before = dict(model.contexts)
                seen = thread.submit(_read_slowly, store, begun, go_on) if reading else None
                assert not reading or begun.wait(60)
                _operate(store, model, operation, run)
                go_on.set()
                assert seen is None or seen.result(60) == before
            assert {s: number_of(store.context(s)) for s in (1, 2)} == model.contexts


def _read_slowly(
    store: NodeStore, begun: threading.Event, go_on: threading.Event
) -> dict[int, int]:
    """Begin to read, and read both Contexts when told to."""
    with store._reading() as now:
        rows = {series: now.rows.one("context", str(series)) for series in (1, 2)}
        begun.set()
        assert go_on.wait(60)
        values = {s: row["value_id"] for s, row in rows.items() if row is not None}
        return {s: number_of(now.values.get(int(str(v)))) for s, v in values.items()}


def _operate(store: NodeStore, model: Model, operation: str, run: StoredRun) -> None:
    model.count = (model.count + 1) % 250
    value = number(model.count)
    if operation == "commit":
        message = f"m{store.generation}"
        store.receive(message, run.run_id, Value(b"message"))
        store.commit(message, run.series_id, value, value)
        model.contexts[run.series_id] = model.count
    elif operation == "set":
        store.set_context(run.series_id, run.run_id, value)
        model.contexts[run.series_id] = model.count
    elif operation == "maintain":
        store.maintain()
    elif operation == "compact":
        store.compact()


class Reader:
    """A thread that reads for as long as it is told to."""

    def __init__(self, store: NodeStore, pool: ThreadPoolExecutor) -> None:
        begun, self._go_on = threading.Event(), threading.Event()
        self._future: Future[dict[int, int]] = pool.submit(
            _read_slowly, store, begun, self._go_on
        )
        assert begun.wait(60)

    def end(self) -> dict[int, int]:
        """Let it end, and return what it has read."""
        self._go_on.set()
        return self._future.result(60)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._future.done()


def test_closing_waits_for_readers_and_refuses_new_ones(
    store: NodeStore, pool: ThreadPoolExecutor
) -> None:
    reader = Reader(store, pool)
    closing_thread = pool.submit(store.close)
    wait_until(lambda: store._readers._closed)
    with pytest.raises(StoreError, match="is closed"):
        store.context(ONE.series_id)
    assert not closing_thread.done()
    assert reader.end() == {1: 0, 2: 0}
    closing_thread.result(60)
    assert not store.path.with_name("node.db-wal").exists(), "a connection is left"


def test_the_log_is_emptied_although_somebody_always_reads(
    store: NodeStore, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "LOG_BYTES", CHUNK_BYTES)
    # Many small arrays, which are rows.
    store.set_context(1, 1, Value(b"0", [os.urandom(15_000) for _ in range(140)]))
    store.set_context(1, 1, number(1))
    first = Reader(store, pool)
    assert store.log_bytes > 2 * CHUNK_BYTES
    maintenance = pool.submit(store.maintain)
    wait_until(lambda: store._readers._paused)
    # One that comes now does not make it wait longer.
    second = pool.submit(store.context, 1)
    assert not maintenance.done()
    assert first.end() == {1: 1, 2: 0}
    maintenance.result(60)
    assert number_of(second.result(60)) == 1
    assert store.log_bytes == 0


def test_a_backup_is_waited_for_by_nobody(
    store: NodeStore, pool: ThreadPoolExecutor, tmp_path: Path, held: Callable[[], Held]
) -> None:
    hold = held()
    commit = pool.submit(store.commit, "m1", ONE.series_id, number(1), number(1))
    hold.wait()
    reader = Reader(store, pool)
    assert back_up(store.directory, tmp_path / "backup").generation == 2
    assert not commit.done()
    assert not reader.done
    hold.release()
    reader.end()


def test_the_state_of_a_run_is_deleted_beside_its_readers(
    store: NodeStore, pool: ThreadPoolExecutor
) -> None:
    store.finish_run(ONE.run_id)
    reader = Reader(store, pool)
    freed = pool.submit(store.free_run, ONE.run_id)
    freed.result(60)
    assert store.context(ONE.series_id) is None
    assert not reader.done
    assert reader.end() == {1: 0, 2: 0}
    assert Retention(seconds=0).apply(store) == []
