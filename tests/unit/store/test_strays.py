"""What a kill leaves in the files of content is found, and nothing that a row names."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.store.content import PAGE_BYTES, ContentDirectory, whole_pages
from fedstate.store.content_writer import Gone
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.strays import strays
from fedstate.store.values import Value

LAYERS = [bytes([number]) * 400_000 for number in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path)) as opened:
        run = StoredRun(1, 1, "fab", None)
        opened.add_run(run, Value(b""), Value(b""), Value(b"context", LAYERS))
        yield opened


def found(store: NodeStore) -> list[Gone]:
    return strays(store._db, ContentDirectory(store.directory))


def test_there_is_nothing_in_a_sound_store(store: NodeStore) -> None:
    assert found(store) == []


def test_a_file_that_no_row_names_is_found(store: NodeStore) -> None:
    content = ContentDirectory(store.directory)
    content.file(5).write_bytes(b"")
    assert found(store) == [Gone(5)]


def test_what_a_removal_has_not_come_to_is_found(store: NodeStore) -> None:
    """The rows are gone, and their space is still taken."""
    (file_id,) = ContentDirectory(store.directory).files()
    store.set_context(1, 1, Value(b"context", LAYERS[1:2]))
    store._collect()
    pages = whole_pages(400_000)
    assert found(store) == [
        Gone(file_id, PAGE_BYTES, pages),
        Gone(file_id, PAGE_BYTES + 2 * pages, pages),
    ]
    store.look_for_room()
    assert found(store) == []
    assert store.context(1) == Value(b"context", LAYERS[1:2])


def test_a_start_removes_what_is_found(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path / "state")) as store:
        store.add_run(StoredRun(1, 1, "fab", None), Value(b""), Value(b""), Value(b"", LAYERS))
    content = ContentDirectory(tmp_path / "state")
    (file,) = content.path.iterdir()
    size = content.disk_bytes
    content.file(5).write_bytes(os.urandom(100))
    NodeStore(tmp_path / "state").close()
    assert list(content.path.iterdir()) == [file]
    assert content.disk_bytes == size
