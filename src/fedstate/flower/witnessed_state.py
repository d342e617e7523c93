"""flwr's SuperLink states, which note what they deliver and what they accept.

A delivery is noted in the transaction in which flwr marks the message as delivered, whoever pulls
it: our SuperNode or Flower's own. The notes are not reachable through flwr's state, and none of
the Runtime API's routes has them: a ServerApp can neither read nor write them.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from flwr.app import Message

# A message is a tree of objects.
from flwr.proto.message_pb2 import ObjectTree

# The states that flwr's handlers work on.
from flwr.server.superlink.linkstate import LinkState, LinkStateFactory
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState

# When a message was delivered, as flwr notes it.
from flwr.supercore.date import now
from flwr.supercore.state.schema.linkstate_models import MessageIns
from sqlalchemy import create_engine, update
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import StaticPool

from fedstate.flower.bulk_state import BulkLinkState, use_bulk
from fedstate.flower.evidence_log import EvidenceLog
from fedstate.flower.node_keys import (
    FormerKeys,
    lapse_in_database,
    lapse_in_memory,
    replace_in_database,
    replace_in_memory,
    restore_in_database,
    restore_in_memory,
)
from fedstate.flower.own_objects import OwnObjects, OwnObjectStore
from fedstate.flower.run_owners import OperatorsSeeAll

if TYPE_CHECKING:
    _State = BulkLinkState  # one of those whose methods it overrides
else:
    _State = LinkState


class _Witnessing(_State):
    """Notes deliveries and accepted replies, in the transaction of the state below."""

    evidence: EvidenceLog
    former_keys: FormerKeys

    def create_node(
        self, owner_aid: str, owner_name: str, public_key: bytes, *rest: Any, **more: Any
    ) -> int:
        """Register a node; with a key that no node had before.

        Raises
        ------
        ValueError
            As flwr's, for a key that is in use.
        """
        with self.at_once():
            if self.former_keys.has(public_key):
                raise ValueError("Public key was replaced.")
            return super().create_node(owner_aid, owner_name, public_key, *rest, **more)

    def activate_node(self, node_id: int, heartbeat_interval: float) -> bool:
        """Admit a node; at once also if nothing was heard of it since its key was replaced."""
        with self.at_once():
            self._lapse(node_id)
            return super().activate_node(node_id, heartbeat_interval)

    def _lapse(self, node_id: int) -> None:
        raise NotImplementedError

    def replace_key(self, owner_aid: str, node_id: int, public_key: bytes) -> bool:
        """Give a node another key; see `node_keys.replace_in_database`."""
        raise NotImplementedError

    def restore_node(self, owner_aid: str, node_id: int) -> bool:
        """Take back an unregistered node; see `node_keys.restore_in_database`."""
        raise NotImplementedError

    def get_message_ins(
        self, node_id: int, limit: int | None, *, run_id: int | None = None
    ) -> list[Message]:
        """Hand out messages that have not been delivered yet, and note that."""
        with self.at_once():
            messages = super().get_message_ins(node_id, limit, run_id=run_id)
            self.evidence.delivered(node_id, messages)
        return messages

    def store_message_res(self, message: Message) -> str | None:
        """Store a reply, and note that it was accepted.

        A message that was taken back counts as delivered again: its node has had it, and with the
        reply came that its objects need not be kept. Handed out without them it would be deleted,
        and the reply with it.
        """
        with self.at_once():
            message_id = super().store_message_res(message)
            if message_id is not None:
                self.evidence.answered(message)
                self._deliver(message.metadata.reply_to_message_id)
        return message_id

    def _deliver(self, message_id: str) -> None:
        """Count a message as delivered, if it does not."""
        raise NotImplementedError

    def at_once(self) -> AbstractContextManager[Any]:
        """Return a block that changes everything or nothing, and that nobody sees half done."""
        raise NotImplementedError


class WitnessedLinkState(_Witnessing, OperatorsSeeAll, BulkLinkState):
    """The state of a SuperLink on SQLite."""

    def keep_evidence(self) -> None:
        """Create the tables of the evidence, if the database does not have them."""
        assert self._engine is not None, "it is initialized"  # noqa: S101
        self.evidence = EvidenceLog(self._engine, self.session)
        self.former_keys = FormerKeys(self._engine, self.session)

    def replace_key(self, owner_aid: str, node_id: int, public_key: bytes) -> bool:
        """Give a node another key."""
        return replace_in_database(self.session, self.former_keys, owner_aid, node_id, public_key)

    def _lapse(self, node_id: int) -> None:
        lapse_in_database(self.session, self.former_keys, node_id)

    def restore_node(self, owner_aid: str, node_id: int) -> bool:
        """Take back an unregistered node."""
        return restore_in_database(self.session, owner_aid, node_id)

    def _deliver(self, message_id: str) -> None:
        with self.session() as session:
            session.execute(
                update(MessageIns)
                .where(MessageIns.message_id == message_id, MessageIns.delivered_at == "")
                .values(delivered_at=now().isoformat())
            )

    def at_once(self) -> AbstractContextManager[Any]:
        """Return a block that is one transaction."""
        return self.session()


class WitnessedInMemoryLinkState(_Witnessing, OwnObjects, OperatorsSeeAll, InMemoryLinkState):
    """The state of a SuperLink in memory; its evidence is in a database in memory."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # Taken before any of flwr's locks, of which each method takes several, one after the
        # other: whoever held one of them meanwhile would wait for others in the wrong order.
        self._alone = threading.RLock()
        engine = create_engine(
            "sqlite:///:memory:",
            connect_args={"check_same_thread": False},
            poolclass=StaticPool,
        )
        session = sessionmaker(bind=engine)

        @contextmanager
        def transaction() -> Iterator[Session]:
            # One connection for all threads, and so one transaction at a time.
            with self.lock, session() as opened, opened.begin():
                yield opened

        self.evidence = EvidenceLog(engine, transaction)
        self.former_keys = FormerKeys(engine, transaction)

    def replace_key(self, owner_aid: str, node_id: int, public_key: bytes) -> bool:
        """Give a node another key."""
        with self._alone, self.lock:
            return replace_in_memory(
                *(self.nodes, self.node_public_key_to_node_id, self.former_keys),
                *(owner_aid, node_id, public_key),
            )

    def _lapse(self, node_id: int) -> None:
        with self.lock:
            lapse_in_memory(self.nodes, self.former_keys, node_id)

    def restore_node(self, owner_aid: str, node_id: int) -> bool:
        """Take back an unregistered node."""
        with self._alone, self.lock:
            return restore_in_memory(self.nodes, owner_aid, node_id)

    def _deliver(self, message_id: str) -> None:
        with self.lock:
            if (message := self.message_ins_store.get(message_id)) is not None:
                metadata = message.metadata
                metadata.delivered_at = metadata.delivered_at or now().isoformat()

    def at_once(self) -> AbstractContextManager[Any]:
        """Return a block that nobody sees half done who begins such a block, too."""
        return self._alone

    def store_message_and_object_tree(
        self, message: Message, object_tree: ObjectTree, session_id: str
    ) -> tuple[bool, list[str]]:
        """Store a message and register its objects; see `RunsApart`."""
        # flwr's calls `store_message_res` with its lock, which comes after ours.
        with self.at_once():
            return super().store_message_and_object_tree(message, object_tree, session_id)

    def run_of_message(self, message_id: str) -> int | None:
        """Return the run of a message that is kept; None if it is not."""
        with self.lock:
            for messages in (self.message_ins_store, self.message_res_store):
                if (message := messages.get(message_id)) is not None:
                    return message.metadata.run_id
        return None


def witnessed(state: LinkState) -> _Witnessing:
    """Return a SuperLink's state as what it is."""
    assert isinstance(state, _Witnessing)  # noqa: S101  `use_witnessed` has made it
    return state


def at_once(state: Any) -> AbstractContextManager[Any]:
    """Return a block that changes a SuperLink's state at once; for that of a SuperNode, any."""
    return state.at_once() if isinstance(state, _Witnessing) else nullcontext()


def evidence_of(state: LinkState) -> EvidenceLog:
    """Return the evidence beside a SuperLink's state."""
    return witnessed(state).evidence


def use_witnessed(factory: LinkStateFactory, keep: int | None = None) -> None:
    """Put a state of ours, which keeps evidence, in the place of flwr's.

    Parameters
    ----------
    factory : LinkStateFactory
        What makes the state.
    keep : int, optional
        How many deliveries of each node in each run the evidence keeps; None for all.
    """
    state = use_bulk(factory, WitnessedLinkState)
    if isinstance(state, WitnessedLinkState):
        state.keep_evidence()
    elif type(state) is InMemoryLinkState:
        objects = OwnObjectStore()
        factory.objectstore_factory.store_instance = objects
        factory.state_instance = WitnessedInMemoryLinkState(factory.federation_manager, objects)
    evidence_of(factory.state()).keep = keep
