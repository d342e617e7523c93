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

from flwr.proto.message_pb2 import ObjectTree

# The tables and the rules of the store that this one stands in for.
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import bindparam, delete, event, func, select, update
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
from fedstate.flower.object_rows import (
    OBJECTS,
    RUN_OBJECTS,
    check_children,
    children_of,
    column_of,
    count_references,
    edges_from,
    insert_objects,
    register,
    registered,
)
from fedstate.flower.statements import in_batches
from fedstate.logs import logger
from fedstate.objects.contents import Arrived, Content, DamagedContentError, Place, in_memory
from fedstate.objects.files import LARGE_BYTES, ObjectFiles
from fedstate.objects.streaming import STREAMED_BYTES


class BulkObjectStore(SqlObjectStore):
    """An object store on SQLite that reads and writes whole trees.

    Attributes
    ----------
    files : ObjectFiles, optional
        The large contents; None for a database in memory, which has them, too.
    """

    files: ObjectFiles | None = None
    # Whether a content may be in a file: with small models none is, and nothing is asked for it.
    _has_places = False

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
            named = named_files(self._engine)
            self._has_places = bool(named)
            self.files.open(named)

    def preregister(self, run_id: int, object_tree: ObjectTree) -> list[str]:
        """Register the objects of a tree, and return those whose content is still to come.

        That are also those whose content is there for other runs alone: whoever names an object
        of another run has to have it, and only then is it one of this run.

        Raises
        ------
        ValueError
            If an ID is not one, or an object is known with other children.
        """
        children = children_of(object_tree)
        ids = list(children)
        with self._mutation_session() as session:
            found = column_of(session, ids, OBJECTS.c.is_available)
            available = {object_id: bool(there) for object_id, there in found}
            there = {object_id for object_id in ids if available.get(object_id)}
            others = there - registered(session, run_id, there)
            check_children(session, {id_: children[id_] for id_ in available})
            new = [object_id for object_id in ids if object_id not in available]
            if new:
                insert_objects(session, new, children)
            register(session, run_id, [id_ for id_ in ids if id_ not in others])
        return [id_ for id_ in ids if not available.get(id_) or id_ in others]

    def of_run(self, run_id: int, object_ids: Collection[str]) -> set[str]:
        """Return those objects that are registered for a run."""
        with self.session() as session:
            return registered(session, run_id, object_ids)

    def known(self, object_ids: Collection[str]) -> set[str]:
        """Return those objects that are registered for any run."""
        with self.session() as session:
            return {
                object_id for object_id, _ in column_of(session, object_ids, OBJECTS.c.object_id)
            }

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
                select(OBJECTS.c.object_id).where(OBJECTS.c.object_id == object_id)
            )
            if known is None:
                raise NoObjectInStoreError(f"Object {object_id} was not pre-registered.")
            # That a child is registered is a foreign key.
            while level:
                children |= {each: [] for each in level}
                for parent, child in edges_from(session, level):
                    children[parent].append(child)
                level = {c for parent in level for c in children[parent]} - children.keys()

        def tree(root: str) -> ObjectTree:
            return ObjectTree(object_id=root, children=[tree(c) for c in children[root]])

        return tree(object_id)

    def described(self, run_id: int, object_ids: Collection[str]) -> dict[str, int | Place]:
        """Return how many bytes objects of a run have, or where they are; 0 if not there yet."""
        file, offset, size = PLACES.c.file, PLACES.c.offset, PLACES.c.size
        statement = (
            select(OBJECTS.c.object_id, func.length(OBJECTS.c.content), file, offset, size)
            .join(RUN_OBJECTS, RUN_OBJECTS.c.object_id == OBJECTS.c.object_id)
            .outerjoin(PLACES, PLACES.c.object_id == OBJECTS.c.object_id)
            .where(RUN_OBJECTS.c.run_id == uint64_to_int64(run_id))
        )
        with self.session() as session:
            return {
                object_id: int(length) if file is None else Place(file, offset, size)
                for ids in in_batches(object_ids)
                for object_id, length, file, offset, size in session.execute(
                    statement.where(OBJECTS.c.object_id.in_(ids))
                )
            }

    def in_rows(self, object_ids: Collection[str]) -> dict[str, bytes]:
        """Return what the rows of objects have: nothing of those that are in files."""
        with self.session() as session:
            found = column_of(session, object_ids, OBJECTS.c.content)
            return {object_id: bytes(content) for object_id, content in found}

    def find(self, object_ids: Collection[str]) -> dict[str, Content]:
        """Return the content of those objects that are registered; empty if not there yet.

        An object whose content is damaged is not among them. From then on it counts as not there
        yet, so that whoever sends it again is asked for it.
        """
        return self.opened(self.located(object_ids))

    def located(self, object_ids: Collection[str]) -> dict[str, bytes | Place]:
        """Return the content of those objects that are registered, or where it is."""
        with self.session() as session:
            contents = self.in_rows(object_ids)
            empty = [object_id for object_id, content in contents.items() if not content]
            return {**contents, **(places_of(session, empty) if self._has_places else {})}

    def opened(self, located: Mapping[str, bytes | Place]) -> dict[str, Content]:
        """Return contents by where they are; outside of a transaction, since it may read much."""
        contents: dict[str, Content] = {}
        for object_id, place in located.items():
            if isinstance(place, bytes):
                contents[object_id] = place
                continue
            assert self.files is not None  # noqa: S101  something is in a file
            try:
                contents[object_id] = self.files.content(place, object_id)
            except DamagedContentError as error:
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
            update(OBJECTS)
            .where(OBJECTS.c.object_id == bindparam("id"), OBJECTS.c.is_available == 0)
            .values(content=bindparam("new_content"), is_available=1)
        )
        arrived = {id_: each for id_, each in contents.items() if isinstance(each, Arrived)}
        self._has_places |= bool(arrived)
        rows = [
            {"id": id_, "new_content": b"" if isinstance(each, Arrived) else each}
            for id_, each in contents.items()
        ]
        with self.session() as session:
            named = add_places(session, arrived) if arrived else set()
            session.connection().execute(statement, rows)
            register(session, run_id, contents)
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
        of_run = RUN_OBJECTS.c.run_id == uint64_to_int64(run_id)
        with self._mutation_session() as session:
            ids = set(session.scalars(select(RUN_OBJECTS.c.object_id).where(of_run)))
            session.execute(delete(RUN_OBJECTS).where(of_run))
            self._delete(session, ids)

    def _delete(self, session: Session, level: set[str]) -> None:
        while level:
            counted = column_of(session, level, OBJECTS.c.ref_count)
            unused = {object_id for object_id, references in counted if references == 0}
            lost = Counter(child for _, child in edges_from(session, unused))
            self._remove(session, unused)
            for ids in in_batches(unused):
                session.execute(delete(OBJECTS).where(OBJECTS.c.object_id.in_(ids)))
            count_references(session, {child: -number for child, number in lost.items()})
            level = set(lost)

    def _remove(self, session: Session, object_ids: Iterable[str]) -> None:
        """Forget where the contents of objects are; delete the files of which nothing is left."""
        if self._has_places and (files := remove_places(session, object_ids)):
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
                update(OBJECTS).where(OBJECTS.c.object_id == object_id).values(is_available=0)
            )


def _then(session: Session, call: Callable[[], None]) -> None:
    """Call a function once a transaction has been committed."""
    event.listen(session, "after_commit", lambda _: call(), once=True)
