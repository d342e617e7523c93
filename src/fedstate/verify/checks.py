"""The four promises of client state, each as a check that can fail.

Every check looks at all runs and returns what it found wrong, one sentence a finding; no finding
means that the promise was kept.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from fedstate.verify.evidence import Entry, Holding, Reply, RunEvidence


@dataclass(frozen=True)
class Place:
    """Where something is wrong: a run, and a node unless it is the run as a whole."""

    run_id: str
    node_id: str | None = None

    def __str__(self) -> str:
        """Return the place as a finding names it."""
        return f"run {self.run_id}" + (f", node {self.node_id}" if self.node_id else "")


@dataclass(frozen=True)
class Finding:
    """One thing that a check found wrong.

    Attributes
    ----------
    text : str
        One sentence, which names the places.
    places : tuple of Place
        Where.
    """

    text: str
    places: tuple[Place, ...]

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text


Check = Callable[[Sequence[RunEvidence]], Iterator[Finding]]


def persistence(runs: Sequence[RunEvidence]) -> Iterator[Finding]:
    """Find steps that did not load what the step before saved."""
    for run, holding in _holdings(runs):
        place = Place(run.run_id, holding.node_id)
        previous = ""
        for position, entry in enumerate(holding.entries, start=1):
            if entry.sequence != position:
                yield _at(place, f"entry {position} has sequence {entry.sequence}.")
            if entry.parent != previous:
                yield _at(
                    place,
                    f"step {position} loaded state {_short(entry.parent)}, "
                    f"but the step before saved {_short(previous)}.",
                )
            previous = entry.digest
        if holding.digest != previous:
            yield _at(
                place,
                f"the node holds state {_short(holding.digest)}, "
                f"but its last step saved {_short(previous)}.",
            )
        steps = sum(entry.is_training for entry in holding.entries)
        if len(holding.history) != steps:
            yield _at(
                place, f"the history has {len(holding.history)} values after {steps} steps."
            )


def isolation(runs: Sequence[RunEvidence]) -> Iterator[Finding]:
    """Find state on a node that is not that run's and that node's alone."""
    for run, holding in _holdings(runs):
        for entry in holding.entries:
            if (entry.run_id, entry.node_id) != (run.run_id, holding.node_id):
                yield _at(
                    Place(run.run_id, holding.node_id),
                    f"entry {entry.sequence} is of run {entry.run_id}, node {entry.node_id}.",
                )
    for (run, holding), (other_run, other) in combinations(_holdings(runs), 2):
        if _equal_by_design(run, holding, other_run, other):
            continue
        shared = _digests(holding.entries) & _digests(other.entries)
        if shared:
            places = Place(run.run_id, holding.node_id), Place(other_run.run_id, other.node_id)
            text = f"{places[0]} and {places[1]} share state {_short(min(shared))}."
            yield Finding(text, places)


def completeness(runs: Sequence[RunEvidence]) -> Iterator[Finding]:
    """Find rounds in which a node was sampled but has no entry, or has one too many."""
    for run in runs:
        held = {holding.node_id: holding for holding in run.holdings}
        for node_id in sorted({step.node_id for step in run.steps}, key=int):
            place = Place(run.run_id, node_id)
            steps = [step for step in run.steps if step.node_id == node_id]
            for step in steps:
                if step.error is not None:
                    yield _at(place, f"round {step.round} failed: {step.error}.")
            if node_id not in held:
                reason = run.unanswered.get(node_id, "the run ended before it was asked")
                yield _at(place, f"what it holds is not known: {reason}.")
                continue
            rounds = [entry.round for entry in held[node_id].entries if entry.is_training]
            sampled = [step.round for step in steps]
            if rounds != sampled:
                yield _at(place, f"sampled in rounds {sampled}, but has entries of {rounds}.")
        if not run.steps:
            yield _at(Place(run.run_id), "no node was ever asked to train.")


def agreement(runs: Sequence[RunEvidence]) -> Iterator[Finding]:
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


def _disagreement(run: RunEvidence, step: Reply, held: Entry | None) -> Iterator[Finding]:
    place, in_round = Place(run.run_id, step.node_id), f"round {step.round}"
    if step.commit is None:
        yield _at(place, f"{in_round}: the reply reported no entry.")
    elif held is None:
        yield _at(
            place,
            f"{in_round}: the server was told of entry {step.commit.sequence}, "
            "the node has none.",
        )
    elif held != step.commit:
        yield _at(
            place,
            f"{in_round}: the server was told of entry {step.commit.sequence} with state "
            f"{_short(step.commit.digest)}, the node holds entry {held.sequence} with state "
            f"{_short(held.digest)}.",
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


def _at(place: Place, text: str) -> Finding:
    return Finding(f"{place}: {text}", (place,))


def _short(digest: str) -> str:
    return digest[:12] or "none"
