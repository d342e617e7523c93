"""Our SuperLink state beside flwr's: the same answers, and the same rows in the database."""

import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store import NoObjectInStoreError, ObjectStoreFactory
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.superlink.cli.flower_superlink import _parse_superlink_lifespan_config
from flwr.superlink.federation import NoOpFederationManager

from fedstate.flower import statements
from fedstate.flower.bulk_state import BulkLinkState, use_bulk
from fedstate.objects.contents import in_memory
from fedstate.superlink.database import lay_out
from fedstate.superlink.main import make_app

# Less than flwr's largest object.
BATCH_BYTES = 4 * 2**20
TABLES = {
    "objects": "object_id",
    "object_children": "parent_id, child_id",
    "run_objects": "run_id, object_id",
    "object_push_session_pending": "session_id, object_id",
    "object_push_session_roots": "session_id, root_object_id",
}
RUN, OTHER_RUN = 2**63 + 1, 7


def factory(database: str) -> LinkStateFactory:
    return LinkStateFactory(
        database, NoOpFederationManager(simulation=False), ObjectStoreFactory(database)
    )


def page_bytes(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("PRAGMA page_size").fetchone()[0])


class Pair:
    """flwr's state and ours, to which the same is done."""

    def __init__(self, directory: Path) -> None:
        self.theirs: Any = factory(str(directory / "theirs.db")).state()
        self.ours: Any = use_bulk(factory(str(directory / "ours.db")))
        assert isinstance(self.ours, BulkLinkState)
        assert type(self.theirs) is SqlLinkState

    def objects(self, method: str, *arguments: Any) -> Any:
        """Call both object stores; return the answer, or the error, which must be the same."""
        return self._both(
            lambda state: getattr(state.object_store, method)(*arguments), f"{method}()"
        )

    def state(self, method: str, *arguments: Any) -> Any:
        return self._both(lambda state: getattr(state, method)(*arguments), f"{method}()")

    def _both(self, call: Any, what: str) -> Any:
        answers = [_outcome(call, state) for state in (self.theirs, self.ours)]
        assert answers[0] == answers[1], f"{what} of flwr and ours"
        self.check()
        return answers[0]

    def check(self) -> None:
        for table, order in TABLES.items():
            query = f"SELECT * FROM {table} ORDER BY {order}"  # noqa: S608  names of ours
            assert self.ours.query(query) == self.theirs.query(query), table
        query = "SELECT session_id, run_id, pending_count FROM object_push_sessions"
        assert self.ours.query(query) == self.theirs.query(query)

    def sessions(self, run_id: int) -> str:
        """Start a session of the same name in both."""
        session: str = self.theirs.start_session(run_id)
        ours = self.ours.start_session(run_id)
        self.ours.query(
            "UPDATE object_push_sessions SET session_id = :new WHERE session_id = :old",
            {"new": session, "old": ours},
        )
        return session


def _outcome(call: Any, state: Any) -> Any:
    try:
        answer = call(state)
    except (ValueError, NoObjectInStoreError) as error:
        return type(error), str(error)
    return sorted_tree(answer) if isinstance(answer, ObjectTree) else answer


def sorted_tree(tree: ObjectTree) -> Any:
    """Return a tree in a form that does not depend on the order of children."""
    return tree.object_id, sorted(sorted_tree(child) for child in tree.children)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("databases"))
    yield pair
    for state in (pair.theirs, pair.ours):
        state._engine.dispose()
        state.object_store._engine.dispose()


@pytest.fixture(params=[1, 2, 10_000])
def pair(
    databases: Pair, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Pair:
    """Both, empty; ours with so many IDs in a statement."""
    monkeypatch.setattr(statements, "_MOST_IN_A_STATEMENT", request.param)
    for state in (databases.theirs, databases.ours):
        state.object_store.clear()
        state.query("DELETE FROM object_push_sessions")
    databases.check()
    return databases


def content(*numbers: int, name: str = "a") -> RecordDict:
    """Return records that share their arrays with those of the same numbers."""
    arrays = ArrayRecord([np.full(3, float(number)) for number in numbers])
    return RecordDict({name: arrays, "config": ConfigRecord({"name": name})})


def contents_of(record: RecordDict) -> dict[str, bytes]:
    return {id_: nested.deflate() for id_, nested in get_all_nested_objects(record).items()}


def fake_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_trees_that_share_objects_are_registered_read_and_deleted_alike(pair: Pair) -> None:
    first, second = content(1, 2, 2), content(2, 3, name="b")
    for record in (first, second):
        missing = pair.objects("preregister", RUN, get_object_tree(record))
        assert missing
        assert pair.objects("preregister", OTHER_RUN, get_object_tree(record)) == missing
    for object_id, data in list(contents_of(first).items())[:-1]:
        pair.objects("put", object_id, data)
    pair.objects("preregister", RUN, get_object_tree(first))
    for record in (first, second):
        pair.objects("get_object_tree", record.object_id)
    for object_id in (first.object_id, first.object_id, *contents_of(second)):
        pair.objects("delete", object_id)
    assert pair.objects("__len__") == 0


def test_the_objects_of_a_run_are_deleted_alike(pair: Pair) -> None:
    first, second = content(1, 2), content(2, 3, name="b")
    pair.objects("preregister", RUN, get_object_tree(first))
    pair.objects("preregister", OTHER_RUN, get_object_tree(second))
    pair.objects("delete_objects_in_run", RUN)
    assert pair.objects("__len__") > 0, "those of the other run"
    pair.objects("delete_objects_in_run", OTHER_RUN)
    assert pair.objects("__len__") == 0


def test_what_is_no_tree_is_refused_alike(pair: Pair) -> None:
    leaf, other = ObjectTree(object_id=fake_id("leaf")), ObjectTree(object_id=fake_id("other"))
    root = ObjectTree(object_id=fake_id("root"), children=[leaf])
    pair.objects("preregister", RUN, root)
    for bad in (
        ObjectTree(object_id="no-digest"),
        ObjectTree(object_id=fake_id("twice"), children=[leaf, leaf]),
        ObjectTree(object_id=fake_id("root"), children=[other]),
        ObjectTree(object_id=fake_id("root")),
        ObjectTree(
            object_id=fake_id("top"), children=[root, ObjectTree(object_id=root.object_id)]
        ),
    ):
        kind, _ = pair.objects("preregister", RUN, bad)
        assert kind is ValueError
    kind, _ = pair.objects("get_object_tree", fake_id("unknown"))
    assert kind is NoObjectInStoreError


def push(pair: Pair, run_id: int, session: str, contents: dict[str, bytes]) -> set[str]:
    """Push objects one by one to flwr's state, and all together to ours."""
    stored = {
        id_
        for id_, data in contents.items()
        if pair.theirs.store_object(run_id, session, id_, data)
    }
    assert pair.ours.store_objects(run_id, session, contents) == stored
    pair.check()
    return stored


def test_objects_are_pushed_alike(pair: Pair) -> None:
    record = content(1, 2, 3)
    contents = contents_of(record)
    session = pair.sessions(RUN)
    pair.state("preregister_object_tree", get_object_tree(record), session)
    damaged = {id_: data + b"!" for id_, data in contents.items()}
    unknown = contents_of(content(9))
    assert push(pair, RUN, session, damaged) == set()
    assert push(pair, RUN, "no-session", contents) == set()
    assert push(pair, OTHER_RUN, session, contents) == set()
    some = dict(list(contents.items())[:2])
    assert push(pair, RUN, session, some | {fake_id("x"): b"x"}) == set(some)
    assert push(pair, RUN, session, contents | unknown) == set(contents) - set(some)
    assert push(pair, RUN, session, contents) == set(), "all are there, the session has ended"
    assert (
        pair.state("preregister_object_tree", get_object_tree(record), pair.sessions(RUN)) == []
    )


def test_a_session_that_has_expired_takes_nothing_and_its_objects_go(pair: Pair) -> None:
    record = content(1, 2)
    session = pair.sessions(RUN)
    pair.state("preregister_object_tree", get_object_tree(record), session)
    for state in (pair.theirs, pair.ours):
        state.query(
            "UPDATE object_push_sessions SET expires_at = :past",
            {"past": str(now().replace(tzinfo=None) - timedelta(hours=1))},
        )
    assert push(pair, RUN, session, contents_of(record)) == set()
    assert pair.objects("__len__") == 0


def test_objects_are_pulled_in_the_order_asked_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedstate.flower.bulk_state.BATCH_BYTES", BATCH_BYTES)
    state = use_bulk(factory(str(tmp_path / "ours.db")))
    assert isinstance(state, BulkLinkState)
    ours: Any = state
    part = np.zeros(BATCH_BYTES * 2 // 5 // 8)
    record = RecordDict(
        {
            "parts": ArrayRecord([part, part + 1, part + 2]),
            "large": ArrayRecord([np.zeros(BATCH_BYTES // 8)]),
        }
    )
    contents = contents_of(record)
    session = ours.start_session(RUN)
    ours.preregister_object_tree(get_object_tree(record), session)
    sizes = {id_: len(data) for id_, data in contents.items()}
    parts = [id_ for id_, size in sizes.items() if BATCH_BYTES // 3 < size < BATCH_BYTES]
    (large,) = [id_ for id_, size in sizes.items() if size > BATCH_BYTES]

    def found(*ids: str) -> list[bytes | None]:
        contents = ours.find_objects(RUN, ids)
        return [None if each is None else in_memory(each) for each in contents]

    assert found(fake_id("unknown"), large) == [None, b""], "not there yet"
    assert ours.store_objects(RUN, session, contents) == set(contents)
    expected = [contents[parts[1]], b"", contents[parts[0]]]
    assert found(parts[1], large, parts[0], parts[2], large) == expected
    assert found(parts[0], parts[0]) == [contents[parts[0]]] * 2


def test_writers_wait_for_each_other(databases: Pair) -> None:
    ((milliseconds,),) = [row.values() for row in databases.ours.query("PRAGMA busy_timeout")]
    assert milliseconds == 30_000
    assert databases.ours.object_store.query("PRAGMA busy_timeout") == [{"timeout": 30_000}]


def test_the_superlink_works_on_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["flower-superlink", "--insecure", "--database", str(tmp_path / "link.db")]
    monkeypatch.setattr(sys, "argv", arguments)
    app = make_app(_parse_superlink_lifespan_config())
    assert isinstance(app.state.linkstate_factory.state(), BulkLinkState)
    assert app.state.superlink_lifespan.state_factory is app.state.linkstate_factory
    assert app.state.runtime_state_factory is app.state.linkstate_factory
    assert page_bytes(tmp_path / "link.db") == 16384


def test_what_a_killed_superlink_left_is_gone_on_with_as_it_is(tmp_path: Path) -> None:
    running, left = tmp_path / "running", tmp_path / "left"
    running.mkdir()
    state = factory(str(running / "link.db")).state()
    shutil.copytree(running, left)
    before = {file.name: file.read_bytes() for file in left.iterdir()}
    assert before.keys() > {"link.db"}, f"{state} has no log that it has not closed"
    lay_out(str(left / "link.db"))
    assert {file.name: file.read_bytes() for file in left.iterdir()} == before
    assert page_bytes(left / "link.db") == 4096


def test_a_database_in_memory_stays_flwrs_own() -> None:
    state = use_bulk(factory(FLWR_IN_MEMORY_DB_NAME))
    assert not isinstance(state, BulkLinkState)


def test_our_store_stands_in_for_all_that_flwrs_writes() -> None:
    """A method that an upgrade adds would write its objects one by one, and not be compared."""
    public = {name for name in vars(SqlObjectStore) if not name.startswith("_")}
    assert public == {
        *("get_metadata", "preregister", "get_object_tree", "put", "get", "delete"),
        *("delete_objects_in_run", "clear"),
    }
