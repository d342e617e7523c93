"""Writes ``schema-6.zip``: node stores and a backup from before content had files of its own.

The file was made with the code as it was at commit f970042, by

    .venv/bin/python -m tests.data.make_schema_6

and is not to be made again: the code of today would write what the code of today reads. It has
``plain`` and ``encrypted``, ``killed`` as a SuperNode that was killed leaves it, with its last
commits in the log, and ``backup``, which is of ``plain``. The functions below say what is in
them.
"""

import shutil
import zipfile
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import CHUNK_BYTES, Value

ARCHIVE = Path(__file__).with_name("schema-6.zip")
KEY = bytes(range(32))
STORES: dict[str, bytes | None] = {"plain": None, "killed": None, "encrypted": KEY}
# Ciphertext cannot be compressed, and the file is to stay small.
SIZES: dict[bytes | None, tuple[int, ...]] = {
    None: (2 * CHUNK_BYTES + 100_000, 100_000),
    KEY: (),
}


def state(number: int, key: bytes | None) -> Value:
    """Return a state: a large layer that is the same in all of them, and others that are not."""
    layers = [f"layer {size} of state {number} ".encode() * size for size in SIZES[key]]
    large = [layer[:size] for layer, size in zip(layers, SIZES[key], strict=True)]
    return Value(f"state {number}".encode(), [b"the same " * 8000, *large, b"small", b""])


def contexts(key: bytes | None) -> dict[int, Value]:
    """Return the Context of each run series."""
    return {1: state(12, key), 2: state(21, key)}


def kept(key: bytes | None) -> list[Value]:
    """Return the states that are kept of run 1, the oldest first."""
    return [state(11, key), state(12, key)]


def fill(store: NodeStore, key: bytes | None) -> None:
    """Store what the functions above say."""
    store.keep = 2
    store.bind("SHA256:node")
    for run_id in (1, 2):
        run = StoredRun(run_id=run_id, series_id=run_id, fab_hash="fab", finished_at=None)
        fab = Value(b"fab", [b"F" * 5000])
        store.add_run(run, Value(b"record"), fab, state(10 * run_id, key))
    for number in (11, 12, 21):
        message = f"message {number}"
        value = state(number, key)
        store.receive(message, number // 10, Value(b"message"))
        store.commit(message, number // 10, value, Value(b"reply", value.blobs[1:2]))
        store.answered(message)
    store.receive("pending", 2, Value(b"pending"))
    store.finish_run(1)


def main() -> None:
    """Write the archive, with modules as they were then."""
    from importlib import import_module

    back_up = import_module("fedstate.store.backup").back_up
    with TemporaryDirectory() as name, zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_LZMA) as archive:
        directory = Path(name)
        for each, key in STORES.items():
            with closing(NodeStore(directory / "open", key=key)) as store:
                fill(store, key)
                if each != "killed":
                    store.compact()
                else:
                    shutil.copytree(directory / "open", directory / each)
            if each != "killed":
                (directory / "open").rename(directory / each)
            shutil.rmtree(directory / "open", ignore_errors=True)
        back_up(directory / "plain", directory / "backup")
        for file in sorted(each for each in directory.rglob("*") if each.is_file()):
            if not file.name.endswith("-shm"):
                archive.write(file, file.relative_to(directory))


if __name__ == "__main__":
    main()
