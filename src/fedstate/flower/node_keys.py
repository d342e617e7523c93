"""What an operator changes of the nodes that a SuperLink knows: another key, and a way back.

flwr keeps a node in one row, with its ID and its key; its Control API makes such a row and marks
it as unregistered, and nothing else. Here the key in the row is replaced, and the mark is taken
away. The key that a node had before is kept in a table of ours beside flwr's: receipts that were
signed with it stay good for the time in which it was the node's, and nobody is registered with it
again.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

# The row of a node, its states, and how flwr keeps IDs of 64 bits.
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.constant import NodeStatus
from flwr.supercore.date import now
from flwr.supercore.state.schema.linkstate_models import Node
from flwr.supercore.utils import int64_to_uint64, uint64_to_int64
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    case,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session

from fedstate.flower.proto.evidence_pb2 import FormerKey

_METADATA = MetaData()
_FORMER = Table(
    "fedstate_former_key",
    _METADATA,
    Column("number", Integer, primary_key=True),
    Column("node_id", BigInteger, nullable=False),
    Column("public_key", LargeBinary, nullable=False, unique=True),
    Column("until", Float, nullable=False),
)

# Until when a node counted as online when its key was replaced. As long as that is what flwr's
# row has, nothing has been heard of the node with the new key.
_UNHEARD = Table(
    "fedstate_unheard_key",
    _METADATA,
    Column("node_id", BigInteger, primary_key=True),
    Column("online_until", Float, nullable=False),
)

_Sessions = Callable[[], AbstractContextManager[Session]]


class NodeUnknownError(Exception):
    """The account has no such node, or it is unregistered."""


class KeyInUseError(Exception):
    """A node has the key, or has had it."""


class FormerKeys:
    """The keys that nodes had before, in a table beside flwr's.

    Parameters
    ----------
    engine : Engine
        The database; the table is created if it is not there.
    session : callable
        Returns a block in one transaction, in which flwr may have written already.
    """

    def __init__(self, engine: Engine, session: _Sessions) -> None:
        _METADATA.create_all(engine)
        self._session = session

    def add(self, node_id: int, public_key: bytes) -> None:
        """Note that a key is its node's no longer, durable with the caller's transaction."""
        row = {"node_id": uint64_to_int64(node_id), "public_key": public_key}
        with self._session() as session:
            session.execute(insert(_FORMER), [row | {"until": time.time()}])

    def begin(self, node_id: int, online_until: float) -> None:
        """Note until when a node is online with nothing heard of it under its new key."""
        row = {"node_id": uint64_to_int64(node_id), "online_until": online_until}
        with self._session() as session:
            session.execute(delete(_UNHEARD).where(_UNHEARD.c.node_id == row["node_id"]))
            session.execute(insert(_UNHEARD), [row])

    def unheard(self, node_id: int) -> float | None:
        """Return what `begin` has noted, or None."""
        found = select(_UNHEARD.c.online_until).where(
            _UNHEARD.c.node_id == uint64_to_int64(node_id)
        )
        with self._session() as session:
            until: float | None = session.scalar(found)
            return until

    def has(self, public_key: bytes) -> bool:
        """Return whether any node had this key before."""
        with self._session() as session:
            found = select(_FORMER.c.number).where(_FORMER.c.public_key == public_key)
            return session.scalar(found) is not None

    def of_nodes(self) -> dict[int, list[FormerKey]]:
        """Return the former keys of each node that has any, the oldest first."""
        keys: dict[int, list[FormerKey]] = {}
        with self._session() as session:
            for row in session.execute(select(_FORMER).order_by(_FORMER.c.number)):
                key = FormerKey(public_key=row.public_key, until=row.until)
                keys.setdefault(int64_to_uint64(row.node_id), []).append(key)
        return keys


def replace_in_database(
    sessions: _Sessions, former: FormerKeys, owner: str, node_id: int, public_key: bytes
) -> bool:
    """Give a node another key in flwr's table; return False if it has it already.

    The node stays online, for the SuperNode that runs to go on with its next key. In one
    transaction: no request finds the node with both keys, or with none.

    Raises
    ------
    NodeUnknownError
        The account has no such node, or it is unregistered.
    KeyInUseError
        Another node has the key, or any node had it before.
    """
    mine = (
        Node.node_id == uint64_to_int64(node_id),
        Node.owner_aid == owner,
        Node.status != NodeStatus.UNREGISTERED,
    )
    with sessions() as session:
        old = session.scalar(select(Node.public_key).where(*mine))
        if old is None:
            raise NodeUnknownError
        if old == public_key:
            return False
        taken = session.scalar(select(Node.node_id).where(Node.public_key == public_key))
        if taken is not None or former.has(public_key):
            raise KeyInUseError
        changed = session.scalar(
            update(Node)
            .where(*mine, Node.public_key == old)
            .values(public_key=public_key)
            .returning(Node.node_id)
        )
        if changed is None:  # somebody else has replaced it in between
            raise NodeUnknownError
        former.add(node_id, old)
        if (until := session.scalar(select(Node.online_until).where(*mine))) is not None:
            former.begin(node_id, until)
    return True


def lapse_in_database(sessions: _Sessions, former: FormerKeys, node_id: int) -> None:
    """End the time for which a node counts as online if its new key has shown nothing of itself.

    So a SuperNode that is started with the new key is admitted at once: the one with the old key
    cannot go on.
    """
    with sessions() as session:
        if (until := former.unheard(node_id)) is not None:
            session.execute(
                update(Node)
                .where(Node.node_id == uint64_to_int64(node_id), Node.online_until == until)
                .values(online_until=func.min(Node.online_until, now().timestamp()))
            )


def restore_in_database(sessions: _Sessions, owner: str, node_id: int) -> bool:
    """Take an unregistered node back in flwr's table; return False if it is registered.

    Raises
    ------
    NodeUnknownError
        The account has no such node.
    """
    mine = (Node.node_id == uint64_to_int64(node_id), Node.owner_aid == owner)
    was_online = Node.last_activated_at.is_not(None)
    with sessions() as session:
        restored = session.scalar(
            update(Node)
            .where(*mine, Node.status == NodeStatus.UNREGISTERED)
            .values(
                status=case((was_online, NodeStatus.OFFLINE), else_=NodeStatus.REGISTERED),
                unregistered_at=None,
            )
            .returning(Node.node_id)
        )
        if restored is None and session.scalar(select(Node.node_id).where(*mine)) is None:
            raise NodeUnknownError
    return restored is not None


def replace_in_memory(
    nodes: dict[int, NodeInfo],
    ids: dict[bytes, int],
    former: FormerKeys,
    owner: str,
    node_id: int,
    public_key: bytes,
) -> bool:
    """Do what `replace_in_database` does, in flwr's dictionaries, whose lock the caller holds."""
    node = nodes.get(node_id)
    if node is None or node.owner_aid != owner or node.status == NodeStatus.UNREGISTERED:
        raise NodeUnknownError
    old = bytes(node.public_key)
    if old == public_key:
        return False
    if public_key in ids or former.has(public_key):
        raise KeyInUseError
    former.add(node_id, old)
    del ids[old]
    ids[public_key] = node_id
    node.public_key = public_key
    former.begin(node_id, node.online_until)
    return True


def lapse_in_memory(nodes: dict[int, NodeInfo], former: FormerKeys, node_id: int) -> None:
    """Do what `lapse_in_database` does, in flwr's dictionary, whose lock the caller holds."""
    node = nodes.get(node_id)
    if node is not None and node.online_until == former.unheard(node_id):
        node.online_until = min(node.online_until, now().timestamp())


def restore_in_memory(nodes: dict[int, NodeInfo], owner: str, node_id: int) -> bool:
    """Do what `restore_in_database` does, in flwr's dictionary, whose lock the caller holds."""
    node = nodes.get(node_id)
    if node is None or node.owner_aid != owner:
        raise NodeUnknownError
    if node.status != NodeStatus.UNREGISTERED:
        return False
    node.status = NodeStatus.OFFLINE if node.last_activated_at else NodeStatus.REGISTERED
    node.unregistered_at = ""
    return True
