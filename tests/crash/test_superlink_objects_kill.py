"""SIGKILL at every point at which a SuperLink takes in, keeps and deletes a large content.

The child stores the objects of a message, some of them of megabytes, and deletes them. After the
kill each object is either there as a whole or still to come, no file is left that no row names,
and the message can be taken in to its end.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedstate.failpoints import VARIABLE

CHILD = """
import sys
import numpy as np
from flwr.app import ArrayRecord, RecordDict
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects, get_object_tree,
)
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager
from fedstate.flower.bulk_state import use_bulk

database = sys.argv[1]
manager = NoOpFederationManager(simulation=False)
factory = LinkStateFactory(database, manager, ObjectStoreFactory(database))
state = use_bulk(factory)
arrays = [np.full(300_000, float(number)) for number in range(3)]
record = RecordDict({"a": ArrayRecord(arrays)})
contents = {key: each.deflate() for key, each in get_all_nested_objects(record).items()}
session = state.start_session(1)
missing = state.preregister_object_tree(get_object_tree(record), session)
there = {key: state.object_store.get(key) for key in contents}
def names():
    return {each.name for each in state.files.directory.iterdir()} - {"lock"}

files = names()
named = {row["file"] for row in state.query("SELECT file FROM fedstate_object_place")}
assert files == named, (files, named)
assert all(there[key] == contents[key] for key in contents if key not in missing), "damaged"
assert all(there[key] == b"" for key in missing), "there, and asked for"
print(len(contents) - len(missing), flush=True)
for key in sorted(missing, key=lambda key: -len(contents[key])):
    assert state.store_objects(1, session, {key: contents[key]}), key
assert {key: state.object_store.get(key) for key in contents} == contents
print("stored", flush=True)
state.object_store.delete(record.object_id)
assert not names(), "a file is left"
print("deleted", flush=True)
"""


def child(database: Path, failpoints: str = "") -> Any:
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(database)],
        env={**os.environ, VARIABLE: failpoints},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("failpoint", "there"),
    [
        # How many of the objects are there afterwards.
        ("object-written=kill:2", 1),
        ("objects-stored=kill:2", 2),
        ("objects-deleted=kill:1", 0),
    ],
)
def test_a_killed_superlink_has_each_object_or_waits_for_it(
    tmp_path: Path, failpoint: str, there: int
) -> None:
    database = tmp_path / "link.db"
    killed = child(database, failpoint)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.splitlines()[0] == "0"
    again = child(database)
    assert again.returncode == 0, again.stderr
    found, *rest = again.stdout.splitlines()
    assert int(found) == there
    assert rest == ["stored", "deleted"]
