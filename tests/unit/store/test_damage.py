"""A store that was truncated, altered or taken apart is noticed and gives no wrong state."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fedstate.errors import FedstateError
from fedstate.store.errors import StoreDamagedError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

RUN = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
LAYERS = [np.random.default_rng(0).bytes(200_000), np.random.default_rng(1).bytes(5_000)]


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


def test_a_flipped_bit_is_noticed_or_without_effect(directory: Path, whole: Path) -> None:
    expected = everything(directory)
    database = directory / "node.db"
    content = database.read_bytes()
    # Fixed places, spread over the pages: most of a page is content in the larger tables.
    places = np.random.default_rng(2).integers(len(content), size=200).tolist()
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


def test_a_flipped_bit_in_a_layer_is_noticed_at_start(directory: Path) -> None:
    database = directory / "node.db"
    content = database.read_bytes()
    if (directory / "key").read_bytes():
        pytest.skip("the layer cannot be found in an encrypted store")
    place = content.index(LAYERS[0][100_000:100_064])
    database.write_bytes(content[:place] + b"\0" + content[place + 1 :])
    with pytest.raises(StoreDamagedError, match=r"checksum.*fedstate state restore BACKUP"):
        NodeStore(directory)


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
