"""Evidence of runs in which every promise was kept, as real nodes give it, for tests to break.

Rows are chained and signed by `fedstate.witness`, with real keys.
"""

import copy
import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedstate.verify.evidence import (
    ANSWERED,
    Delivery,
    Evidence,
    HeldLog,
    NodeAnswer,
    NodeEvidence,
    RunEvidence,
)
from fedstate.verify.persistence import EMPTY
from fedstate.verify.report import Report
from fedstate.verify.verifier import Verifier
from fedstate.witness import Receipt, StepRecord, genesis, record_digest, sign

RUNS = (101, 102)
NODES = (11, 12)
ROUNDS = 4


KEYS: dict[object, ec.EllipticCurvePrivateKey] = {}


def key_of(name: object) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a node; the same one each time."""
    if name not in KEYS:
        KEYS[name] = ec.generate_private_key(ec.SECP384R1())
    return KEYS[name]


def public(name: object) -> bytes:
    encoding, form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    return key_of(name).public_key().public_bytes(encoding, form)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass
class Node:
    """A node that makes steps, and keeps the log that ours keep."""

    node_id: int
    store_id: str = ""
    opening: bytes = b"opening"
    sequence: int = 0
    generation: int = 0
    of_store: bytes = b""
    states: dict[int, bytes] = field(default_factory=dict)
    heads: dict[int, bytes] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store_id = self.store_id or f"store-of-{self.node_id}"

    def step(
        self,
        run_id: int,
        message_id: str,
        content: str | None = None,
        *,
        reason: str = "",
        series_id: int = 0,
        **changes: Any,
    ) -> Receipt:
        """Make a step; return its receipt. Without `content` the app keeps what it was given."""
        series_id = series_id or run_id
        given = self.states.get(series_id, EMPTY)
        stored = given if content is None or reason else digest(content)
        self.sequence += 1
        self.generation += not reason
        self.lengths[run_id] = self.lengths.get(run_id, 0) + 1
        fields: dict[str, Any] = {
            "sequence": self.sequence,
            "run_sequence": self.lengths[run_id],
            "run_id": run_id,
            "series_id": series_id,
            "node_id": self.node_id,
            "store_id": self.store_id,
            "group_id": str(self.lengths[run_id]),
            "action": "train",
            "message_id": message_id,
            "handed_out": given,
            "stored": stored,
            "state_bytes": 100,
            "new_bytes": 10,
            "app_seconds": 0.5,
            "commit_seconds": 0.01,
            "time": 1000.0 + self.sequence,
            "outcome": "failed" if reason else "committed",
            "reason": reason,
            "previous": self.heads.get(run_id) or genesis(self.store_id, run_id),
            "previous_of_store": self.of_store,
            "generation": self.generation,
            "opening": self.opening,
        }
        receipt = sign(StepRecord(**(fields | changes)).encode(), key_of(self.node_id))
        self.heads[run_id] = self.of_store = record_digest(receipt.row)
        self.states[series_id] = receipt.record.stored
        return receipt

    def note(self, run_id: int, outcome: str, stored: bytes, source: tuple[int, int]) -> Receipt:
        """Write the row of a state that no step has made: rolled back, or begun."""
        no_step: dict[str, Any] = {"group_id": "", "action": "", "handed_out": b""}
        no_step |= {"app_seconds": 0.0, "outcome": outcome, "stored": stored}
        no_step |= {"source_run": source[0], "source_number": source[1]}
        return self.step(run_id, "", **no_step)

    def answer(self) -> NodeAnswer:
        return NodeAnswer(ANSWERED, "", self.store_id, self.opening, self.generation)

    def log(self, run_id: int, series_id: int = 0) -> HeldLog:
        return HeldLog(
            present=True,
            complete=True,
            length=self.lengths.get(run_id, 0),
            head=self.heads.get(run_id, b""),
            held=self.states.get(series_id or run_id, EMPTY),
        )


def exchange(
    run: RunEvidence, node: Node, message_id: str, content: str | None = None, **how: Any
) -> Receipt:
    """Let a node make a step for a message, and note it as SuperLink and node do."""
    receipt = node.step(run.run_id, message_id, content, series_id=run.series_id, **how)
    of_node = run.node(node.node_id)
    record = receipt.record
    of_node.deliveries.append(
        Delivery(
            message_id,
            record.group_id,
            "train",
            record.time - 1,
            record.time + 1,
            f"reply-to-{message_id}",
            not record.committed,
        )
    )
    of_node.receipts.append(receipt)
    of_node.rows.append(Receipt(receipt.row, receipt.signature))
    of_node.log = node.log(run.run_id, run.series_id)
    return receipt


def note(
    run: RunEvidence, node: Node, outcome: str, stored: bytes, source: tuple[int, int]
) -> Receipt:
    """Let a node write the row of a state that no step has made; its receipt arrives, too."""
    receipt = node.note(run.run_id, outcome, stored, source)
    of_node = run.node(node.node_id)
    of_node.receipts.append(receipt)
    of_node.rows.append(Receipt(receipt.row, receipt.signature))
    of_node.log = node.log(run.run_id, run.series_id)
    return receipt


@dataclass
class World:
    """Runs on nodes, and the evidence of them."""

    nodes: dict[int, Node]
    evidence: Evidence

    def run(self, run_id: int) -> RunEvidence:
        return next(run for run in self.evidence.runs if run.run_id == run_id)

    def of(self, run_id: int, node_id: int) -> NodeEvidence:
        return self.run(run_id).nodes[node_id]

    def refresh(self) -> None:
        """Ask the nodes again what they hold."""
        for run in self.evidence.runs:
            for node_id in run.nodes:
                run.nodes[node_id].log = self.nodes[node_id].log(run.run_id, run.series_id)
        self.evidence.answers = {each.node_id: each.answer() for each in self.nodes.values()}

    def verify(self, **how: Any) -> Report:
        return verified([self.evidence], **how)


def verified(batches: Iterable[Evidence], **how: Any) -> Report:
    verifier = Verifier(**how)
    for evidence in batches:
        verifier.add(evidence)
    return verifier.finish()


def kept(
    runs: tuple[int, ...] = RUNS, nodes: tuple[int, ...] = NODES, rounds: int = ROUNDS
) -> World:
    """Return runs at the same time, each with a state of its own on each node."""
    made = {node_id: Node(node_id) for node_id in nodes}
    evidence = Evidence([RunEvidence(run_id, run_id, "finished:completed") for run_id in runs])
    evidence.keys = {node_id: public(node_id) for node_id in nodes}
    for number in range(1, rounds + 1):
        for run in evidence.runs:
            for node in made.values():
                name = f"{run.run_id} {node.node_id} {number}"
                exchange(run, node, f"message {name}", name)
    world = World(made, evidence)
    world.refresh()
    return world


@functools.cache
def _kept() -> World:
    return kept()


def fresh() -> World:
    """Return a world of one's own, made once: signing takes a while."""
    return copy.deepcopy(_kept())


def altered(receipt: Receipt, **changes: Any) -> Receipt:
    """Return a row with other content and the old signature."""
    return Receipt(receipt.record._replace(**changes).encode(), receipt.signature)


def resigned(receipt: Receipt, name: object, **changes: Any) -> Receipt:
    """Return a row with other content, signed with somebody's key."""
    return sign(receipt.record._replace(**changes).encode(), key_of(name))
