"""Former states as differences: what comes back is what was stored, whatever is done."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from fedstate.store import chunks, deltas, digests, packing
from fedstate.store.chunks import Chunks
from fedstate.store.cipher import AesGcmCipher, Cipher, PlainCipher
from fedstate.store.content_writer import ContentWriter
from fedstate.store.digests import digesting
from fedstate.store.errors import DamagedValueError
from fedstate.store.packing import Packing
from fedstate.store.rows import CheckedRows
from fedstate.store.schema import migrate
from fedstate.store.strays import strays
from fedstate.store.values import Value, ValueTable

CIPHERS: list[Cipher] = [PlainCipher(), AesGcmCipher(b"1" * 32)]
CHUNK = 400


class Small:
    """Values in a database in memory, whose chunks are small, and what each of them is.

    With a directory, their chunks are in files there.
    """

    def __init__(self, cipher: Cipher, directory: Path | None = None) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.execute("PRAGMA foreign_keys = ON")
        migrate(self.db)
        self.cipher = cipher
        self.writer = ContentWriter(directory) if directory else None
        content = self.writer.content if self.writer else None
        self.chunks = Chunks(self.db, cipher, content, self.writer)
        self.values = ValueTable(self.db, cipher, self.chunks)
        self.packing = Packing(self.db, self.chunks)
        self.known: dict[int, list[bytes]] = {}

    def put(self, blobs: list[bytes]) -> int:
        with self.transaction(), digesting(self.cipher, Value(b"", blobs)) as (digested,):
            value_id = self.values.put(digested)
        self.known[value_id] = blobs
        return value_id

    def present(self, *value_ids: int) -> None:
        rows = CheckedRows(self.db, self.cipher)
        for series, value_id in enumerate(value_ids):
            rows.put(
                "context",
                {
                    "series_id": str(series),
                    "run_id": "1",
                    "generation": 1,
                    "committed_at": 0.0,
                    "value_id": value_id,
                },
            )

    def pack(self) -> None:
        while self.packing.has_work:
            self.work()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN")
        yield
        self.chunks.finish()
        self.db.execute("COMMIT")
        if self.writer:
            self.writer.committed(0)
            self.writer.sweep()

    def work(self) -> None:
        with self.transaction():
            self.packing.work()

    def drop(self, value_id: int) -> None:
        del self.known[value_id]
        self.values.release(value_id)
        going = True
        while going:
            with self.transaction():
                going = bool(self.values.collect())

    def check(self) -> None:
        assert list(self.values.findings()) == []
        for value_id, blobs in self.known.items():
            assert [bytes(blob) for blob in self.values.get(value_id).blobs] == blobs
            sizes = [len(blob) for blob in blobs if blob]
            assert self.values.blob_sizes(value_id) == sizes
        assert self.db.execute("PRAGMA foreign_key_check").fetchall() == []
        whole = dict(self.chunks.everything())
        assert {self.cipher.digest(plain) for plain in whole.values()} == {
            digest for (digest,) in self.db.execute("SELECT digest FROM chunk")
        }
        if self.writer:
            files = "SELECT file_id FROM content_file"
            named = {file_id for (file_id,) in self.db.execute(files)}
            assert self.writer.content.files().keys() == named
            assert strays(self.db, self.writer.content) == []

    @property
    def differences(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM delta").fetchone()[0])


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(deltas, "_COST_OF_ONE", 50)


@pytest.fixture(params=CIPHERS, ids=["plain", "encrypted"])
def small(request: pytest.FixtureRequest) -> Iterator[Small]:
    made = Small(request.param)
    with closing(made.db):
        yield made


def edited(blob: bytes, number: int) -> bytes:
    """Return content of which a word in each chunk is another."""
    words = np.frombuffer(blob, "<u4").copy()
    words[number % 100 :: 100] += number + 1
    return words.tobytes()


def chain(small: Small, length: int) -> list[int]:
    """Store states that follow each other, the last one as the present one."""
    blob = np.random.default_rng(0).bytes(3 * CHUNK)
    made = [small.put([blob, b"", b"end"])]
    for number in range(length):
        blob = edited(blob, number)
        made.append(small.put([blob, b"", b"end"]))
        small.packing.note(made[-2], made[-1])
        small.present(made[-1])
        small.pack()
    return made


def test_all_but_the_present_state_and_one_of_many_are_differences(small: Small) -> None:
    made = chain(small, 30)
    small.check()
    for value_id in made[:-1]:
        small.drop(value_id)
        small.check()
    assert small.differences == 0


def test_how_far_a_chunk_is_from_a_whole_one_is_bounded(small: Small) -> None:
    made = chain(small, 100)
    lengths = []
    for (chunk_id,) in small.db.execute("SELECT chunk_id FROM chunk").fetchall():
        found = small.chunks.deltas.chain(chunk_id).differences
        lengths.append(len(found))
        assert sum(map(len, found)) + 50 * len(found) <= 3 * CHUNK
    assert 12 < max(lengths) < 30
    assert len(made) * 3 > small.differences > len(made) * 3 * 0.9


def test_differences_in_pieces_are_read_as_an_earlier_release_stored_them(small: Small) -> None:
    chain(small, 12)
    stored = small.db.execute("SELECT chunk_id, data FROM delta_piece").fetchall()
    small.db.execute("DELETE FROM delta_piece")
    for chunk_id, data in stored:
        for start in range(0, len(data), 16):
            piece = (chunk_id, data[start : start + 16])
            small.db.execute("INSERT INTO delta_piece (chunk_id, data) VALUES (?, ?)", piece)
    assert list(small.chunks.deltas.damaged()) == []
    small.check()


@pytest.mark.parametrize("order", ["the newest first", "from the middle"])
def test_what_others_are_made_from_can_go(small: Small, order: str) -> None:
    made = chain(small, 12)
    small.present(small.put([b"another state"]))
    going = list(reversed(made)) if order == "the newest first" else made[5:] + made[:5]
    for value_id in going[:-1]:
        small.drop(value_id)
        small.check()
    assert len(small.known) == 2


def test_a_present_state_stays_whole(small: Small) -> None:
    blob = np.random.default_rng(0).bytes(CHUNK)
    first, second = small.put([blob]), small.put([edited(blob, 1)])
    small.present(first, second)
    small.packing.note(first, second)
    small.pack()
    assert small.differences == 0
    # It is no run's any longer.
    third = small.put([edited(blob, 2)])
    small.present(third, second)
    small.packing.note(first, third)
    small.pack()
    assert small.differences == 1
    small.check()


def test_states_that_take_turns_are_not_put_together_from_themselves(small: Small) -> None:
    blob = np.random.default_rng(0).bytes(CHUNK)
    before = small.put([blob])
    for number in (1, 0, 1, 2, 0, 1):
        after = small.put([edited(blob, number)])
        small.packing.note(before, after)
        small.present(after)
        small.pack()
        small.check()
        before = after


def test_what_changes_as_a_whole_stays_whole(small: Small) -> None:
    random = np.random.default_rng(0)
    made = [small.put([random.bytes(CHUNK)]) for _ in range(2)]
    small.packing.note(made[0], made[1])
    small.present(made[1])
    small.pack()
    assert small.differences == 0


def test_work_that_is_not_done_in_time_goes_on_where_it_was(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [small.put([np.random.default_rng(0).bytes(5 * CHUNK)])]
    made.append(small.put([edited(small.known[made[0]][0], 3)]))
    small.packing.note(*made)
    small.present(made[1])
    clock = iter(range(1000))
    monkeypatch.setattr(packing, "_SECONDS_AT_ONCE", 4.5)
    monkeypatch.setattr("fedstate.store.packing.time.monotonic", lambda: float(next(clock)))
    done = []
    while small.packing.has_work:
        small.work()
        done.append(small.differences)
    assert done == sorted(set(done))
    assert len(done) > 1
    assert done[-1] == 5
    small.check()


DAMAGE = [
    "UPDATE delta SET base_id = chunk_id",
    "UPDATE delta SET base_id = 1 WHERE chunk_id = 3",
    "UPDATE delta SET size = size + 1",
    "UPDATE delta SET stored = stored + 1",
    "UPDATE delta SET reach = reach - 1",
    "UPDATE delta_piece SET data = x'00'",
    "DELETE FROM delta_piece WHERE piece_id IN (SELECT min(piece_id) FROM delta_piece)",
    "DELETE FROM delta_piece; DELETE FROM delta",
    "UPDATE chunk SET data = zeroblob(length(data)) WHERE length(data) >= 400",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(small: Small, damage: str) -> None:
    made = chain(small, 3)
    small.db.executescript(damage)
    found = list(small.values.findings())
    assert any(f"value {made[0]} " in each for each in found)
    assert all("does not have its checksum" in each for each in found)
    assert len(found) == len(set(found)), "a value is named once"


@pytest.mark.parametrize("damage", DAMAGE[5:] + DAMAGE[:1])
def test_damage_is_found_at_reading(small: Small, damage: str) -> None:
    made = chain(small, 3)
    small.db.executescript(damage)
    with pytest.raises(DamagedValueError, match=f"value {made[0]} does not have its"):
        small.values.get(made[0])


EDITS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, CHUNK * 2 - 1)), max_size=6)


class AnyOrder(RuleBasedStateMachine):
    """States of some runs, which are edited, gone back to and dropped in any order."""

    cipher: Cipher = CIPHERS[0]
    in_files = False

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.small = Small(self.cipher, self.directory if self.in_files else None)
        random = np.random.default_rng(0)
        first = self.small.put([random.bytes(2 * CHUNK), random.bytes(CHUNK), b"bias"])
        self.now = [first, first]
        self.small.present(*self.now)

    @rule(series=st.integers(0, 1), edits=EDITS, keep=st.booleans())
    def change(self, series: int, edits: list[tuple[int, int]], keep: bool) -> None:
        blobs = [bytearray(blob) for blob in self.small.known[self.now[series]]]
        for number, place in edits:
            blobs[number][place % len(blobs[number])] ^= 1
        self.become(series, self.small.put([bytes(blob) for blob in blobs]), keep)

    @rule(series=st.integers(0, 1), choice=st.integers(0), keep=st.booleans())
    def go_back(self, series: int, choice: int, keep: bool) -> None:
        known = sorted(self.small.known)
        source = known[choice % len(known)]
        copied, _ = self.small.values.copy(source)
        self.small.known[copied] = self.small.known[source]
        self.become(series, copied, keep)

    def become(self, series: int, value_id: int, keep: bool) -> None:
        before = self.now[series]
        self.now[series] = value_id
        self.small.present(*self.now)
        if keep:
            self.small.packing.note(before, value_id)
        elif before not in self.now:
            self.small.drop(before)

    @rule()
    def pack(self) -> None:
        self.small.pack()

    @rule(choice=st.integers(0))
    def drop(self, choice: int) -> None:
        known = sorted(self.small.known.keys() - set(self.now))
        if known:
            self.small.drop(known[choice % len(known)])

    @invariant()
    def all_is_there(self) -> None:
        self.small.check()

    def teardown(self) -> None:
        self.small.db.close()
        if self.small.writer:
            self.small.writer.close()
        shutil.rmtree(self.directory)


@pytest.mark.parametrize("cipher", CIPHERS, ids=["plain", "encrypted"])
def test_states_in_any_order_come_back_as_they_were(cipher: Cipher) -> None:
    machine = type("AnyOrder", (AnyOrder,), {"cipher": cipher})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )


def test_states_in_files_in_any_order_come_back_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And each file and each part of one goes with the last chunk that is stored in it."""
    monkeypatch.setattr(chunks, "FILE_BYTES", 300)
    monkeypatch.setattr(chunks, "VALUE_BYTES", 500)
    machine = type("AnyOrder", (AnyOrder,), {"in_files": True})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=10, stateful_step_count=25, deadline=None)
    )


@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_a_state_with_another_layout_is_left_alone(data: st.DataObject) -> None:
    small = Small(CIPHERS[0])
    blobs = st.lists(st.binary(max_size=3 * CHUNK), max_size=3)
    before, after = small.put(data.draw(blobs)), small.put(data.draw(blobs))
    small.packing.note(before, after)
    small.present(after)
    small.pack()
    small.check()
    small.db.close()


def test_nothing_is_made_of_what_is_to_go(small: Small) -> None:
    blob = np.random.default_rng(0).bytes(CHUNK)
    first, second = small.put([blob]), small.put([edited(blob, 1)])
    small.present(second)
    small.packing.note(first, second)
    small.values.release(first)
    small.pack()
    assert small.differences == 0
    small.drop(first)
    small.check()


def test_nothing_is_noted_of_what_has_gone(small: Small, tmp_path: Path) -> None:
    made = [small.put([np.random.default_rng(n).bytes(CHUNK)]) for n in range(2)]
    small.packing.note(*made)
    small.drop(made[1])
    assert not small.packing.has_work
