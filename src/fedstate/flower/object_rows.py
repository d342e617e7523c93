"""Statements about flwr's tables of objects, each for many objects at once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, cast

from flwr.proto.message_pb2 import ObjectTree

# What an ID is, and the tables.
from flwr.supercore.inflatable.inflatable_object import is_valid_sha256_hash, iterate_object_tree
from flwr.supercore.state.schema.objectstore_models import ObjectChild, RunObject, StoredObject
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import Table, bindparam, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_ignore
from sqlalchemy.orm import Session

from fedstate.flower.statements import in_batches

OBJECTS = cast("Table", StoredObject.__table__)
CHILDREN = cast("Table", ObjectChild.__table__)
RUN_OBJECTS = cast("Table", RunObject.__table__)


def children_of(tree: ObjectTree) -> dict[str, list[str]]:
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


def check_children(session: Session, children: dict[str, list[str]]) -> None:
    """Raise ValueError if known objects have other children than these."""
    stored: dict[str, set[str]] = {object_id: set() for object_id in children}
    for parent, child in edges_from(session, children):
        stored[parent].add(child)
    for object_id, ids in children.items():
        if stored[object_id] != set(ids):
            raise _other_children(object_id)


def _other_children(object_id: str) -> ValueError:
    return ValueError(f"Object {object_id} was preregistered with different children.")


def column_of(session: Session, ids: Iterable[str], column: Any) -> list[tuple[str, Any]]:
    """Return the IDs of those objects that are registered, each with a column of its row."""
    statement = select(OBJECTS.c.object_id, column)
    return [
        (object_id, value)
        for batch in in_batches(ids)
        for object_id, value in session.execute(statement.where(OBJECTS.c.object_id.in_(batch)))
    ]


def edges_from(session: Session, parents: Iterable[str]) -> list[tuple[str, str]]:
    """Return each parent with each of its children."""
    statement = select(CHILDREN.c.parent_id, CHILDREN.c.child_id)
    return [
        (parent, child)
        for batch in in_batches(parents)
        for parent, child in session.execute(statement.where(CHILDREN.c.parent_id.in_(batch)))
    ]


def registered(session: Session, run_id: int, ids: Iterable[str]) -> set[str]:
    """Return those objects that are registered for a run."""
    statement = select(RUN_OBJECTS.c.object_id).where(
        RUN_OBJECTS.c.run_id == uint64_to_int64(run_id)
    )
    return {
        object_id
        for batch in in_batches(ids)
        for object_id in session.scalars(statement.where(RUN_OBJECTS.c.object_id.in_(batch)))
    }


def register(session: Session, run_id: int, ids: Iterable[str]) -> None:
    """Register objects for a run."""
    rows = [{"run_id": uint64_to_int64(run_id), "object_id": object_id} for object_id in ids]
    if rows:
        session.execute(insert_or_ignore(RUN_OBJECTS).on_conflict_do_nothing(), rows)


def insert_objects(session: Session, new: list[str], children: dict[str, list[str]]) -> None:
    """Add objects without content, and count them as children of each other."""
    empty = {"content": b"", "is_available": 0, "ref_count": 0}
    session.execute(insert(OBJECTS), [{"object_id": id_, **empty} for id_ in new])
    edges = [(parent, child) for parent in new for child in children[parent]]
    if edges:
        rows = [{"parent_id": parent, "child_id": child} for parent, child in edges]
        session.execute(insert(CHILDREN), rows)
    count_references(session, Counter(child for _, child in edges))


def count_references(session: Session, more: Mapping[str, int]) -> None:
    """Add to the number of objects that have these as children."""
    rows = [{"id": id_, "more": number} for id_, number in more.items()]
    if rows:
        statement = update(OBJECTS).where(OBJECTS.c.object_id == bindparam("id"))
        statement = statement.values(ref_count=OBJECTS.c.ref_count + bindparam("more"))
        session.connection().execute(statement, rows)
