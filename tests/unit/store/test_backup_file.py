"""What is in a backup: the database and its content, laid out without holes."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fedstate.store.backup import back_up, copy_backup, restore
from fedstate.store.backup_file import HEADER_BYTES, database_of, read_backup, read_parts
from fedstate.store.check import check
from fedstate.store.content import DIRECTORY, PAGE_BYTES, ContentDirectory, whole_pages
from fedstate.store.errors import StoreDamagedError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.read_only import read_only
from fedstate.store.values import Value

LAYERS = [np.random.default_rng(number).bytes(600_001) for number in range(3)]
SECOND = Value(b"2", [LAYERS[0], b"second" * 100_000])
KEY = b"k" * 32


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def key(request: pytest.FixtureRequest) -> bytes | None:
    found: bytes | None = request.param
    return found


@pytest.fixture
def store(tmp_path: Path, key: bytes | None) -> Iterator[NodeStore]:
    """A store with a file of content that has a hole, and another one."""
    with closing(NodeStore(tmp_path / "state", key=key)) as opened:
        run = StoredRun(1, 1, "fab", None)
        opened.add_run(run, Value(b""), Value(b""), Value(b"0", LAYERS[:2]))
        opened.set_context(1, 1, Value(b"1", LAYERS[1:]))
        opened.maintain()
        yield opened


def test_a_backup_has_the_content_and_no_holes(
    store: NodeStore, tmp_path: Path, key: bytes | None
) -> None:
    file = tmp_path / "backup"
    backup = back_up(store.directory, file, verify=store.findings)
    assert read_backup(file) == backup
    assert backup.size == file.stat().st_size - HEADER_BYTES
    _, parts = read_parts(file)
    overhead = 28 if key else 0
    assert parts.content_bytes == PAGE_BYTES + 2 * whole_pages(len(LAYERS[0]) + overhead)
    assert check(file, key).problems == []
    with read_only(file, key) as reading:
        assert reading.kept_context(1)[1] == Value(b"1", LAYERS[1:])
    copy_backup(file, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "restored")
    assert len(list((tmp_path / "restored" / DIRECTORY).iterdir())) == 1
    with closing(NodeStore(tmp_path / "restored", key=key)) as restored:
        assert restored.context(1) == Value(b"1", LAYERS[1:])
    content = ContentDirectory(tmp_path / "restored")
    assert all(each.st_mode & 0o777 == 0o600 for each in content.files().values())


def test_a_store_without_large_content_has_none_in_its_backup(tmp_path: Path) -> None:
    NodeStore(tmp_path / "state").close()
    backup = back_up(tmp_path / "state", tmp_path / "backup")
    _, parts = read_parts(tmp_path / "backup")
    assert (parts.database_bytes, parts.file_id, parts.content_bytes) == (backup.size, None, 0)
    restore(tmp_path / "backup", tmp_path / "restored")
    assert not (tmp_path / "restored" / DIRECTORY).exists()


@pytest.mark.parametrize("place", [0, 1, 600, 0.5, 0.99, -1])
def test_a_flipped_bit_is_noticed(store: NodeStore, tmp_path: Path, place: float) -> None:
    file = tmp_path / "backup"
    back_up(store.directory, file)
    content = bytearray(file.read_bytes())
    content[int(place if place % 1 == 0 else place * len(content))] ^= 1
    file.write_bytes(content)
    for use in (read_backup, check, lambda file: restore(file, tmp_path / "restored")):
        with pytest.raises(StoreDamagedError, match=r"was damaged|is not a backup"):
            use(file)
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize("changes", [{"database": 10**9}, {"database": 10}, {"content": "x"}])
def test_a_header_that_does_not_fit_is_refused(
    store: NodeStore, tmp_path: Path, changes: dict[str, object]
) -> None:
    file = tmp_path / "backup"
    back_up(store.directory, file)
    content = file.read_bytes()
    header = json.loads(content[:HEADER_BYTES]) | changes
    text = json.dumps(header).ljust(HEADER_BYTES).encode()
    file.write_bytes(text + content[HEADER_BYTES:])
    with pytest.raises(StoreDamagedError, match="is not a backup"):
        database_of(file, tmp_path / "database")


def test_a_damaged_file_of_content_makes_no_backup(store: NodeStore, tmp_path: Path) -> None:
    content = ContentDirectory(store.directory)
    file = min(content.path.iterdir())
    file.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreDamagedError, match=f"'{DIRECTORY}/{file.name}' is missing"):
        back_up(store.directory, tmp_path / "backup")
    assert not list(tmp_path.glob("backup*"))
    (tmp_path / "elsewhere").rename(file)
    altered = bytearray(file.read_bytes())
    altered[PAGE_BYTES] ^= 1
    file.write_bytes(altered)
    hole = altered[PAGE_BYTES] == 1
    if hole:
        file = max(content.path.iterdir())
        altered = bytearray(file.read_bytes())
        altered[PAGE_BYTES] ^= 1
        file.write_bytes(altered)
    with pytest.raises(StoreDamagedError, match="does not have its checksum"):
        back_up(store.directory, tmp_path / "backup", verify=store.findings)
    assert not list(tmp_path.glob("backup*"))


def test_a_backup_is_of_one_commit_whatever_goes_meanwhile(
    store: NodeStore, tmp_path: Path, key: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ContentDirectory.read
    left = [True]

    def read(self: ContentDirectory, file_id: int, start: int, length: int) -> bytes:
        if left.pop() if left else False:
            store.set_context(1, 1, SECOND)
            store.maintain()
        return real(self, file_id, start, length)

    monkeypatch.setattr(ContentDirectory, "read", read)
    back_up(store.directory, tmp_path / "backup")
    assert store.context(1) == SECOND
    with read_only(tmp_path / "backup", key) as reading:
        assert reading.kept_context(1)[1] == Value(b"1", LAYERS[1:])
    before = len(ContentDirectory(store.directory).files())
    store.look_for_room()
    assert before > len(ContentDirectory(store.directory).files()) == 1


def test_what_is_read_in_a_store_stays_until_the_look_ends(
    store: NodeStore, key: bytes | None
) -> None:
    with read_only(store.directory, key) as reading:
        store.set_context(1, 1, SECOND)
        store.maintain()
        assert reading.kept_context(1)[1] == Value(b"1", LAYERS[1:])
    store.look_for_room()
    assert len(ContentDirectory(store.directory).files()) == 1
