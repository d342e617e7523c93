"""The nodes' public keys, and whose signature a receipt has."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from cryptography.hazmat.primitives.asymmetric import ec

from fedstate.verify.evidence import FormerKey
from fedstate.verify.steps import NodeSteps, vouch
from fedstate.witness import Receipt, is_signed_by, public_key_from

# By how much a node's clock may be ahead: a SuperLink takes no request of one that is more.
_CLOCK_SECONDS = 5.0


class Keys:
    """The public keys of the nodes.

    Parameters
    ----------
    encoded : mapping of int to bytes
        Each node's key (PEM).
    budget : int
        How many signatures are verified one by one, at half a millisecond each. After that, one
        signature for each chain of rows is, and one for all runs of a store.
    """

    def __init__(self, encoded: Mapping[int, bytes], budget: int) -> None:
        self._encoded = dict(encoded)
        self._former: dict[int, Sequence[FormerKey]] = {}
        self._loaded: dict[bytes, ec.EllipticCurvePublicKey | None] = {}
        # Rows that rows of later runs have named: the same key vouches for them.
        self._named: dict[int, set[bytes]] = {}
        self._budget = budget
        self.verified = 0

    def update(
        self, encoded: Mapping[int, bytes], former: Mapping[int, Sequence[FormerKey]]
    ) -> None:
        """Take the keys that nodes have now, and those that they had before."""
        # A key may be replaced between two batches: the newest list has both.
        self._encoded |= encoded
        self._former |= former

    @property
    def encoded(self) -> Mapping[int, bytes]:
        """The keys as they came."""
        return self._encoded

    def has(self, node_id: int) -> bool:
        """Whether a node's key is known."""
        return self._key(node_id) is not None

    def vouch(self, nodes: Iterable[NodeSteps]) -> None:
        """Find out for which rows of nodes their keys vouch; see `steps.vouch`.

        Signatures are verified on all processors, since Python's lock is not held then. A key
        that was replaced vouches for rows of before. The key that came in its place vouches for
        those, too: the node signs with it what it had not signed, and it is the node's word.
        """
        planned = self._planned(nodes)
        for node_id in planned:
            self._named.setdefault(node_id, set())
        with ThreadPoolExecutor(os.cpu_count(), "signatures") as pool:
            self.verified += sum(pool.map(self._vouch_for_node, planned.values()))

    def _planned(self, nodes: Iterable[NodeSteps]) -> dict[int, list[tuple[NodeSteps, bool]]]:
        """Return the runs of each node whose key is known, and whether each row is verified.

        The newest run comes first: its rows lead to those of the runs before.
        """
        planned: dict[int, list[tuple[NodeSteps, bool]]] = {}
        for steps in sorted(nodes, key=_newest, reverse=True):
            if self.has(steps.node.node_id):
                each = len(steps.chain) <= self._budget
                self._budget -= len(steps.chain) if each else 0
                planned.setdefault(steps.node.node_id, []).append((steps, each))
        return planned

    def _vouch_for_node(self, planned: Iterable[tuple[NodeSteps, bool]]) -> int:
        return sum(self._vouch(steps, each) for steps, each in planned)

    def _vouch(self, steps: NodeSteps, each: bool) -> int:
        """Find out for which rows of a node its key vouches; return how many were verified."""
        node_id = steps.node.node_id
        key = self._key(node_id)
        verified = 0

        def is_signed(receipt: Receipt) -> bool:
            nonlocal verified
            verified += 1
            if key is None or not receipt.signature:
                return False
            return is_signed_by(receipt, key) or any(
                receipt.record.time <= until for until in self._replaced(receipt, node_id)
            )

        vouch(steps, is_signed, each=each, named=self._named[node_id])
        return verified

    def signer(self, receipt: Receipt, but: int) -> str:
        """Return the other node whose key has signed a receipt, as text; empty for none."""
        for node_id in self._encoded:
            key = self._key(node_id)
            if node_id != but and key is not None and is_signed_by(receipt, key):
                return f"node {node_id}"
        return ""

    def is_of_replaced_key(self, receipt: Receipt, node_id: int) -> bool:
        """Return whether a key that the node had before has signed a receipt, whenever."""
        return any(True for _ in self._replaced(receipt, node_id))

    def _replaced(self, receipt: Receipt, node_id: int) -> Iterator[float]:
        """Yield until when each former key that has signed a receipt was the node's."""
        for former in self._former.get(node_id, ()):
            key = self._load(former.public_key)
            if key is not None and is_signed_by(receipt, key):
                yield former.until + _CLOCK_SECONDS

    def _key(self, node_id: int) -> ec.EllipticCurvePublicKey | None:
        return self._load(self._encoded.get(node_id, b""))

    def _load(self, encoded: bytes) -> ec.EllipticCurvePublicKey | None:
        if encoded not in self._loaded:
            try:
                self._loaded[encoded] = public_key_from(encoded)
            except ValueError:
                self._loaded[encoded] = None
        return self._loaded[encoded]


def _newest(steps: NodeSteps) -> int:
    """Return the place of a node's newest row of a run in its store."""
    return max((step.record.sequence for step in steps.chain[-1:]), default=0)
