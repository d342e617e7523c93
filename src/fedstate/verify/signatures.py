"""The nodes' public keys, and whose signature a receipt has."""

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from fedstate.verify.steps import NodeSteps, vouch
from fedstate.witness import Receipt, is_signed_by, public_key_from


class Keys:
    """The public keys of the nodes.

    Parameters
    ----------
    encoded : mapping of int to bytes
        Each node's key (PEM).
    budget : int
        How many signatures are verified one by one, at half a millisecond each. After that, one
        signature for each chain of rows is.
    """

    def __init__(self, encoded: Mapping[int, bytes], budget: int) -> None:
        self._encoded = dict(encoded)
        self._loaded: dict[int, ec.EllipticCurvePublicKey | None] = {}
        self._budget = budget
        self.verified = 0

    def update(self, encoded: Mapping[int, bytes]) -> None:
        """Add keys of nodes that are not known yet."""
        self._encoded = {**encoded, **self._encoded}
        self._loaded.clear()

    @property
    def encoded(self) -> Mapping[int, bytes]:
        """The keys as they came."""
        return self._encoded

    def has(self, node_id: int) -> bool:
        """Whether a node's key is known."""
        return self._key(node_id) is not None

    def vouch(self, steps: NodeSteps) -> None:
        """Find out for which rows of a node its key vouches; see `steps.vouch`."""
        key = self._key(steps.node.node_id)
        if key is None:
            return
        each = len(steps.chain) <= self._budget
        if each:
            self._budget -= len(steps.chain)

        def is_signed(receipt: Receipt) -> bool:
            self.verified += 1
            return bool(receipt.signature) and is_signed_by(receipt, key)

        vouch(steps, is_signed, each=each)

    def signer(self, receipt: Receipt, but: int) -> str:
        """Return the other node whose key has signed a receipt, as text; empty for none."""
        for node_id in self._encoded:
            key = self._key(node_id)
            if node_id != but and key is not None and is_signed_by(receipt, key):
                return f"node {node_id}"
        return ""

    def _key(self, node_id: int) -> ec.EllipticCurvePublicKey | None:
        if node_id not in self._loaded:
            try:
                self._loaded[node_id] = public_key_from(self._encoded.get(node_id, b""))
            except ValueError:
                self._loaded[node_id] = None
        return self._loaded[node_id]
