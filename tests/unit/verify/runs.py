"""Evidence of runs in which every promise was kept, for tests to break."""

import hashlib
from dataclasses import replace

from fedstate.verify.evidence import Entry, Holding, Reply, RunEvidence

NODES = ("11", "12", "13")
ROUNDS = 3


def kept(run_id: str, *, seed: int, nodes: tuple[str, ...] = NODES) -> RunEvidence:
    """Return the evidence of a run with one entry per node and round."""
    entries = {node: _entries(run_id, node, seed) for node in nodes}
    replies = [
        Reply(node, entry.round, action, f"{entry.message_id}{action}", commit, None)
        for node in nodes
        for entry in entries[node]
        for action, commit in (("train", entry), ("evaluate", None))
    ]
    replies = [
        replace(reply, message_id=reply.commit.message_id) if reply.commit else reply
        for reply in replies
    ]
    holdings = [
        Holding(node, index, entries[node][-1].digest, (3.0, 2.0, 1.0), entries[node])
        for index, node in enumerate(nodes)
    ]
    return RunEvidence(
        run_id, "1.42.0", "processes", {"seed": seed}, tuple(replies), tuple(holdings), {}
    )


def with_holding(run: RunEvidence, node: str, **changes: object) -> RunEvidence:
    """Return the evidence with what one node holds changed."""
    holdings = tuple(
        replace(each, **changes) if each.node_id == node else each  # type: ignore[arg-type]
        for each in run.holdings
    )
    return replace(run, holdings=holdings)


def holding(run: RunEvidence, node: str) -> Holding:
    """Return what one node holds."""
    return next(each for each in run.holdings if each.node_id == node)


def _entries(run_id: str, node: str, seed: int) -> tuple[Entry, ...]:
    digests = ["", *(_digest(f"{seed} {node} {round_}") for round_ in range(1, ROUNDS + 1))]
    return tuple(
        Entry(n, run_id, node, n, f"m-{run_id}-{node}-{n}", digests[n - 1], digests[n])
        for n in range(1, ROUNDS + 1)
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
