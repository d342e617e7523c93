"""Which objects of a SuperLink have their contents in files: a table of ours beside flwr's.

flwr's row of such an object has an empty content. A row here goes with flwr's.
"""

from collections.abc import Iterable

from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    exists,
    insert,
    literal,
    select,
)
from sqlalchemy.orm import Session

from fedstate.flower.object_rows import OBJECTS
from fedstate.flower.statements import in_batches
from fedstate.objects.contents import Arrived, Place

_METADATA = MetaData()
PLACES = Table(
    "fedstate_object_place",
    _METADATA,
    Column(
        "object_id",
        String,
        ForeignKey(OBJECTS.c.object_id, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("file", String, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Index("fedstate_object_place_in_file", "file"),
)


def create_places(engine: Engine) -> None:
    """Create the table in a database that does not have it."""
    _METADATA.create_all(engine)


def named_files(engine: Engine) -> set[str]:
    """Return the files that rows name."""
    with engine.connect() as connection:
        return set(connection.scalars(select(PLACES.c.file).distinct()))


def places_of(session: Session, object_ids: Iterable[str]) -> dict[str, Place]:
    """Return where the contents of those objects are that have them in files."""
    columns = (PLACES.c.object_id, PLACES.c.file, PLACES.c.offset, PLACES.c.size)
    return {
        object_id: Place(file, offset, size)
        for ids in in_batches(object_ids)
        for object_id, file, offset, size in session.execute(
            select(*columns).where(PLACES.c.object_id.in_(ids))
        )
    }


def add_places(session: Session, arrived: dict[str, Arrived]) -> set[str]:
    """Note where contents are, of those objects that have none yet; return their files."""
    for object_id, each in arrived.items():
        row = select(
            literal(object_id), literal(each.place.file), literal(each.place.offset),
            literal(each.place.size),
        ).where(
            exists().where(OBJECTS.c.object_id == object_id, OBJECTS.c.is_available == 0)
        )  # fmt: skip
        session.execute(insert(PLACES).from_select(PLACES.columns.keys(), row))
    return _still_named(session, {each.place.file for each in arrived.values()})


def remove_places(session: Session, object_ids: Iterable[str]) -> set[str]:
    """Forget where contents are; return the files of which nothing is left."""
    files: set[str] = set()
    for ids in in_batches(object_ids):
        statement = delete(PLACES).where(PLACES.c.object_id.in_(ids)).returning(PLACES.c.file)
        files |= set(session.scalars(statement))
    return files - _still_named(session, files)


def _still_named(session: Session, files: set[str]) -> set[str]:
    statement = select(PLACES.c.file).distinct()
    return {
        file
        for names in in_batches(files)
        for file in session.scalars(statement.where(PLACES.c.file.in_(names)))
    }
