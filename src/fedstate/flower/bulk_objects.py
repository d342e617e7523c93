"""flwr's object store in its own database, with as many statements as an object tree has levels.

flwr's asks the database several times for every single object: some forty statements to take in
a message of ten objects, and as many to forget it. The tables, and what is in them afterwards,
are the same; a contract test compares. Only what is large is not in flwr's table: see
`fedstate.objects`.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from flwr.proto.message_pb2 import ObjectTree

# The tables and the rules of the store that this one stands in for.
from flwr.supercore.inflatable.inflatable_object import is_valid_sha256_hash, iterate_object_tree
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.supercore.state.schema.objectstore_models import ObjectChild, RunObject, StoredObject
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import Table, bindparam, delete, event, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_ignore
from sqlalchemy.orm import Session

from fedstate.failpoints import reach
from fedstate.flower.object_places import (
    PLACES,
    add_places,
    create_places,
    named_files,
    places_of,
    remove_places,
)
from fedstate.flower.statements import in_batches
from fedstate.logs import logger
from fedstate.objects.contents import Arrived, Content, DamagedContentError, Place, in_memory
from fedstate.objects.files import LARGE_BYTES, ObjectFiles
from fedstate.objects.streaming import STREAMED_BYTES

_OBJECTS = cast("Table", StoredObject.__table__)
_CHILDREN = cast("Table", ObjectChild.__table__)
_RUN_OBJECTS = cast("Table", RunObject.__table__)


class BulkObjectStore(SqlObjectStore):
    """An object store on SQLite that reads and writes whole trees.

    Attributes
    ----------
    files : ObjectFiles, optional
        The large contents; None for a database in memory, which has them, too.
    """

    files: ObjectFiles | None = None

    def open_files(self) -> None:
        """Open the directory with the large contents, beside the database.

        Raises
        ------
        SettingError
            It cannot be used.
        """
        assert self._engine is not None, "it is initialized"  # noqa: S101
        create_places(self._engine)
        if not self._is_in_memory_sqlite:
            database = str(self._engine.url.database)
            self._log = Path(f"{database}-wal")
            self.files = ObjectFiles(Path(f"{database}.objects"))
            self.files.open(named_files(self._engine))

    def preregister(self, run_id: int, object_tree: ObjectTree) -> list[str]:
        """Register the objects of a tree, and return those whose content is still to come.

        That are also those whose content is there for other runs alone: whoever names an object
        of another run has to have it, and only then is it one of this run.

        Raises
        ------
        ValueError
            If an ID is not one, or an object is known with other children.
        """
        children = _children_of(object_tree)
        ids = list(children)
        with self._mutation_session() as session:
            found = _of(session, ids, _OBJECTS.c.is_available)
            available = {object_id: bool(there) for object_id, there in found}
            there = {object_id for object_id in ids if available.get(object_id)}
            others = there - _registered(session, run_id, there)
            _check_children(session, {id_: children[id_] for id_ in available})
            new = [object_id for object_id in ids if object_id not in available]
            if new:
                _insert(session, new, children)
            _register(session, run_id, [id_ for id_ in ids if id_ not in others])
        return [id_ for id_ in ids if not available.get(id_) or id_ in others]

    def of_run(self, run_id: int, object_ids: Collection[str]) -> set[str]:
        """Return those objects that are registered for a run."""
        with self.session() as session:
            return _registered(session, run_id, object_ids)

    def known(self, object_ids: Collection[str]) -> set[str]:
        """Return those objects that are registered for any run."""
        with self.session() as session:
            return {object_id for object_id, _ in _of(session, object_ids, _OBJECTS.c.object_id)}

    def get_object_tree(self, object_id: str) -> ObjectTree:
        """Return the tree of an object.

        Raises
        ------
        NoObjectInStoreError
            If the object is not registered.
        """
        children: dict[str, list[str]] = {}
        level = {object_id}
        with self.session() as session:
            known = session.scalar(
                select(_OBJECTS.c.object_id).where(_OBJECTS.c.object_id == object_id)
            )
            if known is None:
                raise NoObjectInStoreError(f"Object {object_id} was not pre-registered.")
            # That a child is registered is a foreign key.
            while level:
                children |= {each: [] for each in level}
                for parent, child in _edges(session, level):
                    children[parent].append(child)
                level = {c for parent in level for c in children[parent]} - children.keys()

        def tree(root: str) -> ObjectTree:
            return ObjectTree(object_id=root, children=[tree(c) for c in children[root]])

        return tree(object_id)

    def sizes(self, object_ids: Collection[str]) -> dict[str, int]:
        """Return the bytes of those objects that are registered; 0 if not there yet."""
        with self.session() as session:
            found = _of(session, object_ids, func.length(_OBJECTS.c.content))
            sizes = {object_id: int(size) for object_id, size in found}
            places = places_of(session, (id_ for id_, size in sizes.items() if not size))
        return sizes | {object_id: place.size for object_id, place in places.items()}

    def find(self, object_ids: Collection[str]) -> dict[str, Content]:
        """Return the content of those objects that are registered; empty if not there yet.

        An object whose content is damaged is not among them. From then on it counts as not there
        yet, so that whoever sends it again is asked for it.
        """
        with self.session() as session:
            contents: dict[str, Content] = {
                object_id: bytes(content)
                for object_id, content in _of(session, object_ids, _OBJECTS.c.content)
            }
            empty = [object_id for object_id, content in contents.items() if not content]
            places = places_of(session, empty) if empty else {}
        for object_id, place in places.items():
            assert self.files is not None  # noqa: S101  something is in a file
            try:
                contents[object_id] = self.files.content(place, object_id)
            except DamagedContentError as error:
                del contents[object_id]
                self._give_up(object_id, place, error)
        return contents

    def get_many(self, object_ids: Collection[str]) -> dict[str, bytes]:
        """Return the content of those objects that are registered; empty if not there yet."""
        found = self.find(object_ids)
        return {object_id: in_memory(content) for object_id, content in found.items()}

    def get(self, object_id: str) -> bytes | None:
        """Return the content of an object; empty if not there yet, None if not registered."""
        return self.get_many([object_id]).get(object_id)

    def put_many(self, run_id: int, contents: Mapping[str, bytes | Arrived]) -> None:
        """Store the content of objects of a run; of one that has content, it stays as it is."""
        statement = (
            update(_OBJECTS)
            .where(_OBJECTS.c.object_id == bindparam("id"), _OBJECTS.c.is_available == 0)
            .values(content=bindparam("new_content"), is_available=1)
        )
        arrived = {id_: each for id_, each in contents.items() if isinstance(each, Arrived)}
        rows = [
            {"id": id_, "new_content": b"" if isinstance(each, Arrived) else each}
            for id_, each in contents.items()
        ]
        with self.session() as session:
            named = add_places(session, arrived) if arrived else set()
            session.connection().execute(statement, rows)
            _register(session, run_id, contents)
            for arrival in {each.arrival for each in arrived.values()}:
                if arrival.name in named:
                    arrival.claim()
                    _then(session, arrival.keep)
                    # The transaction may be part of another one, which ends later.
                    event.listen(
                        session,
                        "after_rollback",
                        lambda _, arrival=arrival: arrival.give_up(),
                        once=True,
                    )

    @contextmanager
    def in_files(
        self, contents: Mapping[str, bytes | Arrived]
    ) -> Iterator[Mapping[str, bytes | Arrived]]:
        """Give contents in the block, the large ones of them durable in a file if they are many.

        Those that came with a request are in one already.
        """
        large = {
            id_: each
            for id_, each in contents.items()
            if isinstance(each, bytes) and len(each) >= LARGE_BYTES
        }
        if self.files is None or sum(map(len, large.values())) < STREAMED_BYTES:
            yield contents
            return
        with self.files.arrival() as arrival:
            for each in large.values():
                arrival.take([len(each), each])
            arrival.finish()
            yield {**contents, **dict(zip(large, arrival.arrived, strict=True))}

    def clear(self) -> None:
        """Delete all objects."""
        with self._mutation_session() as session:
            self._remove(session, session.scalars(select(PLACES.c.object_id)).all())
            super().clear()

    def delete(self, object_id: str) -> None:
        """Delete an object that no other has as a child, and those that only it had."""
        with self._mutation_session() as session:
            self._delete(session, {object_id})

    def delete_objects_in_run(self, run_id: int) -> None:
        """Delete the objects that were registered for a run."""
        of_run = _RUN_OBJECTS.c.run_id == uint64_to_int64(run_id)
        with self._mutation_session() as session:
            ids = set(session.scalars(select(_RUN_OBJECTS.c.object_id).where(of_run)))
            session.execute(delete(_RUN_OBJECTS).where(of_run))
            self._delete(session, ids)

    def _delete(self, session: Session, level: set[str]) -> None:
        while level:
            counted = _of(session, level, _OBJECTS.c.ref_count)
            unused = {object_id for object_id, references in counted if references == 0}
            lost = Counter(child for _, child in _edges(session, unused))
            self._remove(session, unused)
            for ids in in_batches(unused):
                session.execute(delete(_OBJECTS).where(_OBJECTS.c.object_id.in_(ids)))
            _count_references(session, {child: -number for child, number in lost.items()})
            level = set(lost)

    def _remove(self, session: Session, object_ids: Iterable[str]) -> None:
        """Forget where the contents of objects are; delete the files of which nothing is left."""
        if files := remove_places(session, object_ids):
            _then(session, lambda: self._delete_files(files))

    def _delete_files(self, files: Iterable[str]) -> None:
        reach("objects-deleted")
        # flwr's transactions are durable some time after they are committed. After a power
        # failure a row that is back would name a file that is not.
        with suppress(FileNotFoundError):
            log = os.open(self._log, os.O_RDONLY)
            try:
                os.fdatasync(log)
            finally:
                os.close(log)
        if self.files is not None:
            self.files.delete(files)

    def _give_up(self, object_id: str, place: Place, error: DamagedContentError) -> None:
        """Let an object whose content is damaged count as not there yet."""
        is_the_same = (PLACES.c.object_id == object_id, PLACES.c.file == place.file)
        with self._mutation_session() as session:
            if session.scalar(select(PLACES.c.object_id).where(*is_the_same)) is None:
                return  # it was deleted meanwhile
            logger.error(
                "The content of object %s cannot be handed out: %s. Whoever asks for it is told "
                "that it is not there.",
                object_id,
                error,
            )
            self._remove(session, [object_id])
            session.execute(
                update(_OBJECTS).where(_OBJECTS.c.object_id == object_id).values(is_available=0)
            )


def _then(session: Session, call: Callable[[], None]) -> None:
    """Call a function once a transaction has been committed."""
    event.listen(session, "after_commit", lambda _: call(), once=True)


def _children_of(tree: ObjectTree) -> dict[str, list[str]]:
    """Return the children of each object in a tree, objects in flwr's order, each once."""
    children: dict[str, list[str]] = {}
    for node in iterate_object_tree(tree):
        if not is_valid_sha256_hash(node.object_id):
            raise ValueError(f"Invalid object ID format: {node.object_id}")
        ids = [child.object_id for child in node.children]
        if len(ids) != len(set(ids)):
            raise ValueError(f"Object {node.object_id} has duplicate children.")
        if set(children.setdefault(node.object_id, ids)) != set(ids):
            raise _other_children(node.object_id)
    return children


def _check_children(session: Session, children: dict[str, list[str]]) -> None:
    """Raise ValueError if known objects have other children than these."""
    stored: dict[str, set[str]] = {object_id: set() for object_id in children}
    for parent, child in _edges(session, children):
        stored[parent].add(child)
    for object_id, ids in children.items():
        if stored[object_id] != set(ids):
            raise _other_children(object_id)


def _other_children(object_id: str) -> ValueError:
    return ValueError(f"Object {object_id} was preregistered with different children.")


def _of(session: Session, ids: Iterable[str], column: Any) -> list[tuple[str, Any]]:
    """Return the IDs of those objects that are registered, each with a column of its row."""
    statement = select(_OBJECTS.c.object_id, column)
    return [
        (object_id, value)
        for batch in in_batches(ids)
        for object_id, value in session.execute(statement.where(_OBJECTS.c.object_id.in_(batch)))
    ]


def _edges(session: Session, parents: Iterable[str]) -> list[tuple[str, str]]:
    """Return each parent with each of its children."""
    statement = select(_CHILDREN.c.parent_id, _CHILDREN.c.child_id)
    return [
        (parent, child)
        for batch in in_batches(parents)
        for parent, child in session.execute(statement.where(_CHILDREN.c.parent_id.in_(batch)))
    ]


def _registered(session: Session, run_id: int, ids: Iterable[str]) -> set[str]:
    """Return those objects that are registered for a run."""
    statement = select(_RUN_OBJECTS.c.object_id).where(
        _RUN_OBJECTS.c.run_id == uint64_to_int64(run_id)
    )
    return {
        object_id
        for batch in in_batches(ids)
        for object_id in session.scalars(statement.where(_RUN_OBJECTS.c.object_id.in_(batch)))
    }


def _register(session: Session, run_id: int, ids: Iterable[str]) -> None:
    rows = [{"run_id": uint64_to_int64(run_id), "object_id": object_id} for object_id in ids]
    if rows:
        session.execute(insert_or_ignore(_RUN_OBJECTS).on_conflict_do_nothing(), rows)


def _insert(session: Session, new: list[str], children: dict[str, list[str]]) -> None:
    empty = {"content": b"", "is_available": 0, "ref_count": 0}
    session.execute(insert(_OBJECTS), [{"object_id": id_, **empty} for id_ in new])
    edges = [(parent, child) for parent in new for child in children[parent]]
    if edges:
        rows = [{"parent_id": parent, "child_id": child} for parent, child in edges]
        session.execute(insert(_CHILDREN), rows)
    _count_references(session, Counter(child for _, child in edges))


def _count_references(session: Session, more: Mapping[str, int]) -> None:
    """Add to the number of objects that have these as children."""
    rows = [{"id": id_, "more": number} for id_, number in more.items()]
    if rows:
        statement = update(_OBJECTS).where(_OBJECTS.c.object_id == bindparam("id"))
        statement = statement.values(ref_count=_OBJECTS.c.ref_count + bindparam("more"))
        session.connection().execute(statement, rows)
