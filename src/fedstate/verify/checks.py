"""The four promises of client state, each as a check that can fail.

Every check looks at all runs and returns what it found wrong, one sentence a finding; no finding
means that the promise was kept.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from fedstate.verify.evidence import Entry, Holding, Reply, RunEvidence

Check = Callable[[Sequence[RunEvidence]], Iterator[str]]


def persistence(runs: Sequence[RunEvidence]) -> Iterator[str]:
    """Find steps that did not load what the step before saved."""
    for run, holding in _holdings(runs):
        place = _place(run, holding.node_id)
        previous = ""
        for position, entry in enumerate(holding.entries, start=1):
            if entry.sequence != position:
                yield f"{place}: entry {position} has sequence {entry.sequence}."
            if entry.parent != previous:
                yield (
                    f"{place}: step {position} loaded state {_short(entry.parent)}, "
                    f"but the step before saved {_short(previous)}."
                )
            previous = entry.digest
        if holding.digest != previous:
            yield (
                f"{place}: the node holds state {_short(holding.digest)}, "
                f"but its last step saved {_short(previous)}."
            )
        steps = sum(entry.is_training for entry in holding.entries)
        if len(holding.history) != steps:
            yield f"{place}: the history has {len(holding.history)} values after {steps} steps."


def isolation(runs: Sequence[RunEvidence]) -> Iterator[str]:
    """Find state on a node that is not that run's and that node's alone."""
    for run, holding in _holdings(runs):
        for entry in holding.entries:
            if (entry.run_id, entry.node_id) != (run.run_id, holding.node_id):
                yield (
                    f"{_place(run, holding.node_id)}: entry {entry.sequence} is of "
                    f"run {entry.run_id}, node {entry.node_id}."
                )
    for (run, holding), (other_run, other) in combinations(_holdings(runs), 2):
        if _equal_by_design(run, holding, other_run, other):
            continue
        shared = _digests(holding.entries) & _digests(other.entries)
        if shared:
            yield (
                f"{_place(run, holding.node_id)} and {_place(other_run, other.node_id)} "
                f"share state {_short(min(shared))}."
            )


def completeness(runs: Sequence[RunEvidence]) -> Iterator[str]:
    """Find rounds in which a node was sampled but has no entry, or has one too many."""
    for run in runs:
        held = {holding.node_id: holding for holding in run.holdings}
        for node_id in sorted({step.node_id for step in run.steps}, key=int):
            place = _place(run, node_id)
            steps = [step for step in run.steps if step.node_id == node_id]
            for step in steps:
                if step.error is not None:
                    yield f"{place}: round {step.round} failed: {step.error}."
            if node_id not in held:
                reason = run.unanswered.get(node_id, "the run ended before it was asked")
                yield f"{place}: what it holds is not known: {reason}."
                continue
            rounds = [entry.round for entry in held[node_id].entries if entry.is_training]
            sampled = [step.round for step in steps]
            if rounds != sampled:
                yield f"{place}: sampled in rounds {sampled}, but has entries of {rounds}."
        if not run.steps:
            yield f"run {run.run_id}: no node was ever asked to train."


def agreement(runs: Sequence[RunEvidence]) -> Iterator[str]:
    """Find steps of which the node does not hold what the server was told."""
    for run, holding in _holdings(runs):
        held = {entry.message_id: entry for entry in holding.entries}
        for step in run.steps:
            if step.node_id == holding.node_id and step.error is None:
                yield from _disagreement(run, step, held.get(step.message_id))


CHECKS: dict[str, Check] = {
    "persistence": persistence,
    "isolation": isolation,
    "completeness": completeness,
    "agreement": agreement,
}


def _disagreement(run: RunEvidence, step: Reply, held: Entry | None) -> Iterator[str]:
    place = f"{_place(run, step.node_id)}: round {step.round}"
    if step.commit is None:
        yield f"{place}: the reply reported no entry."
    elif held is None:
        yield f"{place}: the server was told of entry {step.commit.sequence}, the node has none."
    elif held != step.commit:
        yield (
            f"{place}: the server was told of entry {step.commit.sequence} with state "
            f"{_short(step.commit.digest)}, the node holds entry {held.sequence} with state "
            f"{_short(held.digest)}."
        )


def _equal_by_design(
    run: RunEvidence, holding: Holding, other_run: RunEvidence, other: Holding
) -> bool:
    # Runs with the same config and seed compute the same on the same node, so that their states
    # are equal without any leak; then only the entries' names can tell them apart.
    return holding.node_id == other.node_id and run.config == other_run.config


def _holdings(runs: Sequence[RunEvidence]) -> Iterator[tuple[RunEvidence, Holding]]:
    for run in runs:
        for holding in run.holdings:
            yield run, holding


def _digests(entries: Sequence[Entry]) -> set[str]:
    return {digest for entry in entries for digest in (entry.parent, entry.digest) if digest}


def _place(run: RunEvidence, node_id: str) -> str:
    return f"run {run.run_id}, node {node_id}"


def _short(digest: str) -> str:
    return digest[:12] or "none"
