"""flwr's object store in its own database, with as many statements as an object tree has levels.

flwr's asks the database several times for every single object: some forty statements to take in
a message of ten objects, and as many to forget it. The tables, and what is in them afterwards,
are the same; a contract test compares.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, cast

from flwr.proto.message_pb2 import ObjectTree

# The tables and the rules of the store that this one stands in for.
from flwr.supercore.inflatable.inflatable_object import is_valid_sha256_hash, iterate_object_tree
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.supercore.state.schema.objectstore_models import ObjectChild, RunObject, StoredObject
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_ignore
from sqlalchemy.orm import Session

_OBJECTS = cast("Table", StoredObject.__table__)
_CHILDREN = cast("Table", ObjectChild.__table__)
_RUN_OBJECTS = cast("Table", RunObject.__table__)

# SQLite's own bound is 32,766 parameters, unless it was built with another.
_MOST_IN_A_STATEMENT = 10_000


class BulkObjectStore(SqlObjectStore):
    """An object store on SQLite that reads and writes whole trees."""

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
            return {object_id: int(size) for object_id, size in found}

    def get_many(self, object_ids: Collection[str]) -> dict[str, bytes]:
        """Return the content of those objects that are registered; empty if not there yet."""
        with self.session() as session:
            found = _of(session, object_ids, _OBJECTS.c.content)
            return {object_id: bytes(content) for object_id, content in found}

    def put_many(self, run_id: int, contents: dict[str, bytes]) -> None:
        """Store the content of objects of a run; of one that has content, it stays as it is."""
        statement = (
            update(_OBJECTS)
            .where(_OBJECTS.c.object_id == bindparam("id"), _OBJECTS.c.is_available == 0)
            .values(content=bindparam("new_content"), is_available=1)
        )
        with self.session() as session:
            session.connection().execute(
                statement, [{"id": id_, "new_content": data} for id_, data in contents.items()]
            )
            _register(session, run_id, contents)

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
            for ids in in_batches(unused):
                session.execute(delete(_OBJECTS).where(_OBJECTS.c.object_id.in_(ids)))
            _count_references(session, {child: -number for child, number in lost.items()})
            level = set(lost)


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


def in_batches(ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield as many IDs at a time as one statement may have parameters."""
    rest = iter(ids)
    while batch := tuple(itertools.islice(rest, _MOST_IN_A_STATEMENT)):
        yield batch


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
