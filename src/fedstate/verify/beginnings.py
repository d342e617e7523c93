"""Runs that began with the state of another run, as they had asked for.

The node says so itself, in a row that is signed and chained like all others: it is told, and held
against what is known of the run that the state is from.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fedstate.verify.evidence import RunEvidence
from fedstate.verify.findings import LOG, SUPERLINK, Finding, Level, Place, short
from fedstate.verify.isolation import States
from fedstate.verify.steps import NodeSteps
from fedstate.witness import BEGUN, EMPTY_STATE


@dataclass(frozen=True)
class Claim:
    """What a node says of the state with which a run began."""

    place: Place
    step: int
    digest: bytes
    source_run: int
    source_number: int


class Claims:
    """The runs that began with the state of another run, whose steps may come later."""

    def __init__(self) -> None:
        self._claims: list[Claim] = []
        self._alone: set[int] = set()
        # Whose states began with another run's: the digest of the row, by run, node and number.
        self._begun: dict[tuple[int, int, int], bytes] = {}
        # Whose steps are known from the first.
        self._whole: set[tuple[int, int]] = set()

    def index(self, steps: NodeSteps) -> None:
        """Note what there is of a node in a run."""
        if steps.chain and steps.chain[0].number == 1:
            self._whole.add((steps.run_id, steps.node.node_id))
        for step in steps.chain:
            if step.record.outcome == BEGUN:
                key = (steps.run_id, steps.node.node_id, step.number)
                self._begun[key] = step.record.stored

    def add(self, run: RunEvidence, steps: NodeSteps) -> Iterator[Finding]:
        """Note the claims of a node in a run; find those that nobody has asked for."""
        place = Place(run.run_id, steps.node.node_id)
        if run.node_alone:
            self._alone.add(run.run_id)
        for step in steps.chain:
            record = step.record
            if record.outcome != BEGUN:
                continue
            source = (record.source_run, record.source_number)
            self._claims.append(Claim(place, step.number, record.stored, *source))
            if run.from_run is not None and not _asked(run.from_run, *source):
                asked = f"for '{run.from_run}'" if run.from_run else "for none"
                yield Finding(
                    "isolation",
                    "beginning-not-asked-for",
                    Level.BROKEN,
                    place,
                    f"it began with the state of run {record.source_run}, and the run had asked "
                    f"{asked}",
                    step.number,
                    (LOG, SUPERLINK),
                )

    def open(self, states: States) -> bool:
        """Whether there is a claim that what is known does not confirm."""
        return any(not self._is_confirmed(claim, states) for claim in self._claims)

    def findings(self, states: States) -> Iterator[Finding]:
        """Tell which runs began with the state of another one, and what does not fit."""
        for claim in self._claims:
            at = f"at step {claim.source_number}" if claim.source_number else "at its beginning"
            text = f"began from run {claim.source_run}'s state {at}, as asked"
            kind, level = "began-from-a-run", Level.TOLD
            if not self._is_confirmed(claim, states):
                node_id = claim.place.node_id or 0
                if (claim.source_run, node_id) in self._whole and not states.is_common(
                    claim.digest
                ):
                    kind, level = "false-beginning", Level.BROKEN
                    text += f"; but that run has stored no state {short(claim.digest)}"
                else:
                    kind = "beginning-not-compared"
                    text += "; the steps of that run are not there to compare"
                    level = Level.TOLD if claim.place.run_id in self._alone else Level.UNKNOWN
            yield Finding("isolation", kind, level, claim.place, text, claim.step)

    def _is_confirmed(self, claim: Claim, states: States) -> bool:
        if claim.source_number == 0:
            return claim.digest == EMPTY_STATE
        node_id = claim.place.node_id or 0
        if states.has_stored(claim.digest, claim.source_run):
            return True
        key = (claim.source_run, node_id, claim.source_number)
        return self._begun.get(key) == claim.digest


def _asked(from_run: str, source_run: int, source_number: int) -> bool:
    """Whether what a run asks for names a state."""
    digits, _, number = from_run.partition("@")
    named = bool(digits) and str(source_run).startswith(digits)
    return named and number in ("", str(source_number))
