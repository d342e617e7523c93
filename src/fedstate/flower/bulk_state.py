"""flwr's SuperLink state in its own database, taking and giving the objects of a request at once.

flwr's handlers take one object each, and each asks the database some five times about the session
in which it is pushed.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import cast

from flwr.app import Message

# A message is a tree of objects.
from flwr.proto.message_pb2 import ObjectTree

# The tables, and what flwr's own way of storing one object is made of.
from flwr.server.superlink.linkstate import LinkState, LinkStateFactory
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.constant import (
    HEAD_BODY_DIVIDER,
    HEAD_VALUE_DIVIDER,
    OBJECT_PUSH_SESSION_TTL_SECONDS,
)
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import get_object_id
from flwr.supercore.inflatable.inflatable_utils import validate_object_content
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.supercore.sql_mixin import SqlMixin
from flwr.supercore.state.schema.corestate_models import (
    ObjectPushSession,
    ObjectPushSessionPending,
    Task,
)
from flwr.supercore.state.schema.linkstate_models import MessageIns, MessageRes, Run
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import Select, delete, event, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from fedstate.exchange.messages import BATCH_BYTES
from fedstate.failpoints import reach
from fedstate.flower.bulk_objects import BulkObjectStore
from fedstate.flower.own_objects import RunsApart
from fedstate.flower.statements import in_batches
from fedstate.logs import logger
from fedstate.objects.contents import Arrived, Content, Place
from fedstate.objects.files import ObjectFiles

_BUSY_MILLISECONDS = 30_000


class BulkLinkState(RunsApart, SqlLinkState):
    """The state of a SuperLink on SQLite, whose object store is a `BulkObjectStore`."""

    def store_objects(
        self, run_id: int, session_id: str, contents: Mapping[str, bytes | Arrived]
    ) -> set[str]:
        """Store the objects for which the session waits; return which were stored."""
        sound = {id_: data for id_, data in contents.items() if is_sound(id_, data)}
        if not sound:
            return set()
        with self._objects.in_files(sound) as durable:
            stored = self._store_sound(run_id, session_id, durable)
        if stored:
            reach("objects-stored")
        return stored

    def _store_sound(
        self, run_id: int, session_id: str, contents: Mapping[str, bytes | Arrived]
    ) -> set[str]:
        of_session = ObjectPushSession.session_id == session_id
        with self.session() as session:
            _forget_loaded(session)
            of_run = select(ObjectPushSession.session_id).where(
                of_session, ObjectPushSession.run_id == uint64_to_int64(run_id)
            )
            claim = (
                delete(ObjectPushSessionPending)
                .where(ObjectPushSessionPending.session_id == session_id, of_run.exists())
                .returning(ObjectPushSessionPending.object_id)
            )
            claimed = {
                object_id
                for ids in in_batches(contents)
                for object_id in session.scalars(
                    claim.where(ObjectPushSessionPending.object_id.in_(ids))
                )
            }
            if not claimed:
                return set()
            expires_at = session.scalar(select(ObjectPushSession.expires_at).where(of_session))
            if expires_at is None or expires_at <= now():
                self._cleanup_push_session(session_id, cleanup_messages=True)
                return set()
            self._objects.put_many(run_id, {id_: contents[id_] for id_ in claimed})
            pending = session.scalar(
                update(ObjectPushSession)
                .where(of_session)
                .values(
                    pending_count=ObjectPushSession.pending_count - len(claimed),
                    expires_at=now() + timedelta(seconds=OBJECT_PUSH_SESSION_TTL_SECONDS),
                )
                .returning(ObjectPushSession.pending_count)
            )
            if pending == 0:
                self._cleanup_push_session(session_id, cleanup_messages=False)
        return claimed

    def store_content(
        self, run_id: int, session_id: str, object_id: str, content: bytes | Arrived
    ) -> bool:
        """Store an object for which the session waits; return whether it was stored."""
        session_id = self._session_for(run_id, session_id, object_id)
        return bool(self.store_objects(run_id, session_id, {object_id: content}))

    def _store_own(self, run_id: int, session_id: str, object_id: str, content: bytes) -> bool:
        return bool(self.store_objects(run_id, session_id, {object_id: content}))

    def store_message_and_object_tree(
        self, message: Message, object_tree: ObjectTree, session_id: str
    ) -> tuple[bool, list[str]]:
        """Store a message and register its objects, in one transaction; see `RunsApart`."""
        with self.session() as session:
            self.lock_run(message.metadata.run_id)
            stored = super().store_message_and_object_tree(message, object_tree, session_id)
            _forget_loaded(session)
        return stored

    def find_object(self, run_id: int, object_id: str) -> Content | None:
        """Return the content of an object of a run; empty if it is still to come."""
        found = self._objects.find([object_id]) if self.is_of_run(run_id, object_id) else {}
        if content := found.get(object_id):
            return content
        content = self.get_object(run_id, object_id)
        if content == b"" and self._session_awaiting(run_id, object_id) is None:
            # Its content was damaged, and nobody is about to send it again. Or it has just come.
            content = self._objects.find([object_id]).get(object_id) or None
        return content

    def find_objects(
        self, run_id: int, object_ids: Sequence[str], hidden: Collection[str] = ()
    ) -> list[Content | None]:
        """Return the contents of the first of these objects, as many as one answer may carry.

        Those that are hidden are answered as if they were not there.
        """
        there: list[str] = []
        total, count = 0, 0
        with self.session():  # one transaction for all that is asked
            found = self._objects.described(run_id, {*object_ids} - {*hidden})
            sizes = {
                id_: each if isinstance(each, int) else each.size for id_, each in found.items()
            }
            for object_id in object_ids:
                size = sizes.get(object_id, 0)
                if 0 < size < BATCH_BYTES:
                    total += size
                    if total > BATCH_BYTES:
                        break
                    there.append(object_id)
                count += 1
            located: dict[str, bytes | Place] = dict(
                self._objects.in_rows([id_ for id_ in there if isinstance(found[id_], int)])
            )
        located |= {id_: place for id_ in there if isinstance(place := found[id_], Place)}
        contents: dict[str, Content | None] = dict.fromkeys(hidden)
        contents |= self._objects.opened(located)
        large = [id_ for id_ in object_ids[:count] if sizes.get(id_, 0) >= BATCH_BYTES]
        contents |= dict.fromkeys(large, b"")
        if missing := [id_ for id_ in object_ids[:count] if id_ not in contents]:
            contents |= dict.fromkeys(self.awaited(run_id, missing), b"")
        for object_id in missing:
            if object_id not in contents:
                # Nobody is sending it: flwr finds out whether its session has ended.
                contents[object_id] = self.find_object(run_id, object_id)
        return [contents[object_id] for object_id in object_ids[:count]]

    def awaited(self, run_id: int, object_ids: Collection[str]) -> set[str]:
        """Return those of these objects that a run waits for, and that somebody is sending."""
        pending = ObjectPushSessionPending.object_id
        statement = _sessions_of(run_id, pending).where(ObjectPushSession.expires_at > now())
        with self.session() as session:
            return {
                object_id
                for ids in in_batches(object_ids)
                for object_id in session.scalars(statement.where(pending.in_(ids)))
            }

    def lock_run(self, run_id: int) -> None:
        """Begin with a write: SQLite refuses who has read before another transaction wrote."""
        self._lock_run(run_id)

    def is_running(self, run_id: int) -> bool:
        """Return whether a run is running, in one query.

        flwr first looks for tasks whose token has expired, which takes two more and a transaction
        that writes. It does so at most other requests; objects need not wait for it.
        """
        statement = (
            select(Task.task_id)
            .join(Run, Run.primary_task_id == Task.task_id)
            .where(
                Run.run_id == uint64_to_int64(run_id),
                Task.running_at.is_not(None),
                Task.finished_at.is_(None),
            )
        )
        with self.session() as session:
            return session.scalar(statement) is not None

    def is_of_run(self, run_id: int, object_id: str) -> bool:
        """Return whether an object is registered for a run."""
        return bool(self._objects.of_run(run_id, [object_id]))

    @property
    def files(self) -> ObjectFiles | None:
        """The large contents of objects; None for a database in memory."""
        return self._objects.files

    def _session_awaiting(self, run_id: int, object_id: str) -> str | None:
        waiting = _sessions_of(run_id, ObjectPushSession.session_id).where(
            ObjectPushSessionPending.object_id == object_id
        )
        with self.session() as session:
            return session.scalar(waiting.limit(1))

    def _messages_of_others(self, run_id: int, object_ids: Collection[str]) -> bool:
        with self.session() as session:
            return any(
                session.scalar(
                    select(table.message_id)
                    .where(table.message_id.in_(ids), table.run_id != uint64_to_int64(run_id))
                    .limit(1)
                )
                for table in (MessageIns, MessageRes)
                for ids in in_batches(object_ids)
            )

    @property
    def _objects(self) -> BulkObjectStore:
        store = self.object_store
        assert isinstance(store, BulkObjectStore)  # noqa: S101  `use_bulk` has made it
        return store


def _sessions_of(run_id: int, column: InstrumentedAttribute[str]) -> Select[str]:
    """Return a query for what a run's sessions still wait for."""
    return (
        select(column)
        .select_from(ObjectPushSession)
        .join(
            ObjectPushSessionPending,
            ObjectPushSessionPending.session_id == ObjectPushSession.session_id,
        )
        .where(ObjectPushSession.run_id == uint64_to_int64(run_id))
    )


def use_bulk(
    factory: LinkStateFactory, state_class: type[BulkLinkState] = BulkLinkState
) -> LinkState:
    """Put our state and object store in the place of flwr's, where those are on SQLite.

    The factories go on to return them, as if they had made them.
    """
    theirs = factory.state()
    if type(theirs) is SqlLinkState:
        objects = BulkObjectStore(factory.database)
        _take_over(objects, cast("SqlObjectStore", theirs.object_store))
        objects.open_files()
        ours = state_class(factory.database, factory.federation_manager, objects)
        _take_over(ours, theirs)
        factory.objectstore_factory.store_instance = objects
        factory.state_instance = ours
    return factory.state()


def _take_over(ours: SqlMixin, theirs: SqlMixin) -> None:
    """Take a database that flwr has opened, and let writers wait longer for each other.

    After flwr's 5 s, which a busy disk can take, a request fails, and with it the run.
    """
    ours._engine, ours._session_factory = theirs._engine, theirs._session_factory  # noqa: SLF001
    assert theirs._engine is not None, "it is initialized"  # noqa: S101, SLF001
    event.listen(
        theirs._engine,  # noqa: SLF001
        "connect",
        lambda connection, _: connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}"),
    )
    # The connection that was used so far has flwr's timeout.
    theirs._engine.dispose()  # noqa: SLF001


def _forget_loaded(session: Session) -> None:
    """Forget the rows that a transaction has loaded or added, once they are written.

    SQLAlchemy looks each of them up again after a statement that may have changed it.
    """
    session.flush()
    session.expunge_all()


def is_sound(object_id: str, content: bytes | Arrived) -> bool:
    """Return whether a content is that of an object, and of a kind that flwr knows."""
    try:
        if isinstance(content, Arrived):
            _check_arrived(object_id, content)
        else:
            if object_id != get_object_id(content):
                raise ValueError(f"Object ID {object_id} does not match content hash")
            validate_object_content(content=content)
    except Exception as error:  # whatever a stranger's bytes can cause, as in flwr's own way
        logger.error("Failed to store object %s: %s", object_id, error)
        return False
    return True


def _check_arrived(object_id: str, content: Arrived) -> None:
    if object_id != content.object_id:
        raise ValueError(f"Object ID {object_id} does not match content hash")
    head = content.head(HEAD_BODY_DIVIDER)
    if head is None:
        raise ValueError("Unexpected format for object content.")
    kind, divider, size = head.rpartition(HEAD_VALUE_DIVIDER.encode())
    if int(size) != (actual := len(content) - len(head) - len(HEAD_BODY_DIVIDER)):
        raise ValueError(f"Object content length expected {int(size)} bytes but got {actual}.")
    # flwr's check of the rest, which wants a content without a body then.
    validate_object_content(kind + divider + b"0" + HEAD_BODY_DIVIDER)
