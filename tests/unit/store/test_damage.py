"""A store that was truncated, altered or taken apart is noticed and gives no wrong state."""

import logging
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fedstate.errors import FedstateError
from fedstate.store.content import PAGE_BYTES, first_page, name_of
from fedstate.store.errors import StoreDamagedError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

RUN = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
# The first one is in a file of its own.
LAYERS = [
    np.random.default_rng(size).bytes(size) for size in (1_000_000, 5_000, *range(15_000, 15_009))
]


@pytest.fixture(scope="module", params=[None, b"k" * 32], ids=["plain", "encrypted"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole")
    with closing(NodeStore(directory, key=request.param)) as store:
        store.bind("SHA256:node")
        store.add_run(RUN, Value(b"record"), Value(b"", [b"f" * 9000]), Value(b"first"))
        store.receive("message", 1, Value(b"message"))
        store.commit("message", 1, Value(b"header", LAYERS), Value(b"reply", LAYERS[:1]))
        store.receive("pending", 1, Value(b"pending"))
        store.compact()
    (directory / "key").write_bytes(request.param or b"")
    return directory


@pytest.fixture
def directory(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def everything(directory: Path) -> list[object]:
    key = (directory / "key").read_bytes() or None
    with closing(NodeStore(directory, key=key)) as store:
        store.bind("SHA256:node")
        return [
            store.context(1),
            store.reply("message"),
            store.fab("fab"),
            store.run_record(1),
            store.runs(),
            store.message("pending"),
            store.steps("received"),
            store.steps("committed"),
        ]


@pytest.mark.parametrize("file", ["node.db", "node.content/*"])
def test_a_flipped_bit_is_noticed_or_without_effect(
    directory: Path, whole: Path, file: str
) -> None:
    expected = everything(directory)
    (database,) = directory.glob(file)
    content = database.read_bytes()
    # Fixed places, spread over the pages: most of a page is content in the larger tables.
    count = 200 if database.name == "node.db" else 40
    places = np.random.default_rng(2).integers(len(content), size=count).tolist()
    noticed = 0
    for place in places:
        altered = bytearray(content)
        altered[place] ^= 1 << (place % 8)
        shutil.copytree(whole, directory, dirs_exist_ok=True)
        database.write_bytes(altered)
        try:
            assert everything(directory) == expected, f"wrong state after a flip at {place}"
        except FedstateError:
            noticed += 1
    assert noticed > 10


def content_file(directory: Path) -> Path:
    (file,) = (directory / "node.content").iterdir()
    return file


@pytest.mark.parametrize("place", [PAGE_BYTES, 100_000, PAGE_BYTES + 199_999])
def test_a_flipped_bit_in_a_large_layer_is_noticed_at_start(directory: Path, place: int) -> None:
    file = content_file(directory)
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    said = rf"a chunk of value \d+ does not have its checksum \(in the file '.*{file.name}'\)"
    with pytest.raises(StoreDamagedError, match=f"{said}.*fedstate state restore BACKUP"):
        everything(directory)


@pytest.mark.parametrize("kept", [0, 100, PAGE_BYTES, 100_000, -1])
def test_a_truncated_file_of_content_is_noticed(directory: Path, kept: int) -> None:
    file = content_file(directory)
    size = file.stat().st_size
    os.truncate(file, kept if kept >= 0 else size + kept)
    said = rf"'node.content/{file.name}' is cut off, it has \d+ of {size} bytes"
    with pytest.raises(StoreDamagedError, match=said):
        everything(directory)


def test_a_missing_file_of_content_is_noticed_and_the_others_stay(directory: Path) -> None:
    file = content_file(directory)
    file.rename(directory / "elsewhere")
    file.with_name(name_of(1)).write_bytes(b"of no commit")
    with pytest.raises(StoreDamagedError, match=f"'node.content/{file.name}' is missing"):
        everything(directory)
    assert file.with_name(name_of(1)).exists(), "nothing is removed from a damaged store"
    (directory / "elsewhere").rename(file)
    everything(directory)
    assert not file.with_name(name_of(1)).exists()


def test_a_file_too_many_goes_and_says_so(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = content_file(directory)
    expected = everything(directory)
    caplog.set_level(logging.INFO, logger="flwr.fedstate")
    shutil.copy(file, file.with_name(name_of(1)))
    (file.parent / "notes").write_text("of the operator")
    assert everything(directory) == expected
    assert f"{name_of(1)}' of the node store belongs to no commit" in caplog.text
    assert "notes' is none of the node store's files" in caplog.text
    assert sorted(each.name for each in file.parent.iterdir()) == sorted([file.name, "notes"])


def test_the_file_of_another_name_is_noticed(directory: Path) -> None:
    file = content_file(directory)
    size = file.stat().st_size
    file.write_bytes(first_page(1) + bytes(size - PAGE_BYTES))
    with pytest.raises(StoreDamagedError, match=f"'node.content/{file.name}' is another file"):
        everything(directory)


def test_an_older_copy_of_a_file_is_without_effect(directory: Path) -> None:
    """Of what it has and the newer one has not, nothing is named any longer."""
    key = (directory / "key").read_bytes() or None
    file = content_file(directory)
    older = file.read_bytes()
    with closing(NodeStore(directory, key=key)) as store:
        other = [LAYERS[0], np.random.default_rng(3).bytes(100_000)]
        store.set_context(1, 1, Value(b"newer", other))
        store.maintain()
        names = sorted(each.name for each in file.parent.iterdir())
    assert file.name in names
    file.write_bytes(older)
    with closing(NodeStore(directory, key=key)) as store:
        assert store.context(1) == Value(b"newer", other)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE chunk_place SET start = start + 4096",
        "UPDATE chunk_place SET length = length - 1",
        "UPDATE chunk_place SET file_id = file_id + 1",
        "DELETE FROM chunk_place",
        "UPDATE content_file SET size = size - 1",
        "UPDATE content_file SET size = size + 1",
        "UPDATE content_file SET file_id = file_id + 1",
        "DELETE FROM content_file",
    ],
)
def test_a_changed_row_of_content_is_noticed_and_nothing_removed(
    directory: Path, change: str
) -> None:
    file = content_file(directory)
    with closing(sqlite3.connect(directory / "node.db")) as connection, connection:
        assert connection.execute(change).rowcount > 0
    with pytest.raises(StoreDamagedError):
        everything(directory)
    assert file.exists()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE context SET series_id = '2'",
        "UPDATE context SET value_id = (SELECT reply_value FROM step WHERE reply_value)",
        "UPDATE run SET finished_at = 1.0",
        "UPDATE step SET status = 'answered' WHERE status = 'received'",
        "UPDATE step SET status = 'received' WHERE status = 'committed'",
        "UPDATE step SET sequence = 99 WHERE status = 'received'",
        "UPDATE fab SET value_id = (SELECT value_id FROM run)",
        "UPDATE store SET generation = generation + 1",
        "UPDATE store SET node = NULL",
        "UPDATE value SET size = size + 1",
        "UPDATE value_chunk SET part = part + 1 WHERE part = 1",
        "DELETE FROM value_chunk WHERE position = 0",
    ],
)
def test_a_changed_row_is_noticed(directory: Path, change: str) -> None:
    with closing(sqlite3.connect(directory / "node.db")) as connection, connection:
        assert connection.execute(change).rowcount > 0
    with pytest.raises(StoreDamagedError, match="does not have its checksum"):
        everything(directory)


@pytest.mark.parametrize("kept", [0, 100, 65536, 200_000, -65536])
def test_a_truncated_store_is_noticed(directory: Path, kept: int) -> None:
    database = directory / "node.db"
    os.truncate(database, kept if kept >= 0 else database.stat().st_size + kept)
    with pytest.raises(StoreDamagedError, match="fedstate state restore"):
        everything(directory)


@pytest.mark.parametrize("name", ["node.db", "node.mark"])
def test_a_missing_file_is_noticed(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(StoreDamagedError, match=f"'{name}' is missing"):
        everything(directory)


def test_a_damaged_mark_is_noticed(directory: Path) -> None:
    (directory / "node.mark").write_bytes(b"nonsense")
    with pytest.raises(StoreDamagedError, match=r"node.mark' is damaged"):
        everything(directory)


def test_the_database_of_another_node_store_is_noticed(directory: Path, tmp_path: Path) -> None:
    NodeStore(tmp_path / "other").close()
    shutil.copy(tmp_path / "other" / "node.db", directory / "node.db")
    with pytest.raises(FedstateError, match=r"different stores|is not encrypted"):
        everything(directory)
