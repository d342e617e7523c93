"""Persistence: each step was handed the state that the step before it had stored."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fedstate.verify.evidence import ANSWERED, NodeAnswer, RunEvidence
from fedstate.verify.findings import LOG, STORE, Finding, Level, Place, short
from fedstate.verify.rollback import rolled_back
from fedstate.verify.steps import NodeSteps, Step
from fedstate.witness import BEGUN, COMMITTED, ROLLED_BACK, state_digest

# The state with which a run series begins.
EMPTY = state_digest(struct.pack("<II", 0, 0), [])


@dataclass(frozen=True)
class Stray:
    """A state that is where it has no business: maybe another run's, which others find out."""

    place: Place
    step: int
    digest: bytes


def persistence(
    series: Sequence[tuple[RunEvidence, NodeSteps]], answer: NodeAnswer
) -> Iterator[Finding | Stray]:
    """Check the steps of one node in the runs of one series, which share a state.

    Parameters
    ----------
    series : sequence of pairs
        The runs, and the node's steps in each.
    answer : NodeAnswer
        What the node said.
    """
    runs = {run.run_id: (run, steps) for run, steps in series}
    walk = _Walk(runs)
    every = [step for _, steps in series for step in steps.chain]
    # The stores in the order of their use; in each the order in which the rows were written.
    began: dict[str, float] = {}
    for step in every:
        began.setdefault(step.record.store_id, step.record.time)
    every.sort(key=lambda step: (began[step.record.store_id], step.record.sequence))
    for step in every:
        if not walk.follows(step):
            yield from walk.over(step)
    if answer.state == ANSWERED:
        yield from _held(series, walk, answer)


class _Walk:
    """Goes from step to step, and knows which state the next one is to be handed."""

    def __init__(self, runs: dict[int, tuple[RunEvidence, NodeSteps]]) -> None:
        self._runs = runs
        self._store = ""
        self._last_number: dict[int, int] = {}
        self._stored: dict[bytes, Step] = {}
        self._by_number: dict[tuple[int, int], bytes] = {}
        # None if it is not known.
        self.current: bytes | None = None
        self.last: Step | None = None

    def follows(self, step: Step) -> bool:
        """Go on to a step that was handed what the step before has stored, as nearly all were.

        False leaves it for `over`.
        """
        record = step.record
        number = record.run_sequence
        if (
            record.outcome != COMMITTED
            or record.store_id != self._store
            or number == 1
            or number != self._last_number.get(record.run_id, 0) + 1
            or not record.stored
            or not record.handed_out
            or record.handed_out != self.current
        ):
            return False
        self.current = record.stored
        self.last = step
        self._last_number[record.run_id] = number
        self._stored[record.stored] = step
        self._by_number[(record.run_id, number)] = record.stored
        return True

    def over(self, step: Step) -> Iterator[Finding | Stray]:
        """Check one step, and go on to the next."""
        record = step.record
        place = Place(record.run_id, record.node_id)
        if record.store_id != self._store:
            yield from self._next_store(step, place)
        elif step.number != self._last_number.get(record.run_id, 0) + 1:
            # Rows are missing, or not kept any longer: what they stored is not known.
            self.current = None
        if record.handed_out:
            if step.number == 1:
                self._by_number[(record.run_id, 0)] = record.handed_out
            yield from self._handed_out(step, place)
        elif record.committed:
            yield Finding(
                "persistence",
                "forged-step",
                Level.BROKEN,
                place,
                f"a state was stored ({short(record.stored)}), but no ClientApp had been handed "
                "one for it: somebody else has sent the output of this step",
                step.number,
                (STORE, LOG),
            )
        if record.failed:
            yield from self._failed(step, place)
        elif not record.is_step:
            yield from self._of_no_step(step, place)
        self.current = record.stored or self.current
        self.last = step
        self._last_number[record.run_id] = step.number
        if record.stores:
            self._stored[record.stored] = step
            self._by_number[(record.run_id, step.number)] = record.stored

    def _of_no_step(self, step: Step, place: Place) -> Iterator[Finding]:
        record = step.record
        if record.outcome == ROLLED_BACK:
            source = (record.source_run, record.source_number)
            yield rolled_back(step, place, self._by_number.get(source))
        elif self.current not in (None, EMPTY):
            yield Finding(
                "persistence",
                "begun-anew",
                Level.BROKEN,
                place,
                f"it began anew, with the state of run {record.source_run}, and had stored "
                f"{short(self.current or b'')} before",
                step.number,
                (LOG,),
            )

    def _next_store(self, step: Step, place: Place) -> Iterator[Finding]:
        if self._store and self.current not in (None, EMPTY):
            yield Finding(
                "persistence",
                "store-replaced",
                Level.BROKEN,
                place,
                f"the node has got another store ({step.record.store_id[:8]} in place of "
                f"{self._store[:8]}), without the state of the run",
                step.number,
            )
        log = self._runs[step.record.run_id][1].node.log
        begins = step.number == 1 and (log is None or log.complete)
        self._store = step.record.store_id
        self._last_number.clear()
        self._by_number.clear()
        self.current = EMPTY if begins else None

    def _handed_out(self, step: Step, place: Place) -> Iterator[Finding | Stray]:
        record = step.record
        if self.current is None or record.handed_out == self.current:
            return
        before = self._stored.get(record.handed_out)
        expected = f"the step before had stored {short(self.current)}"
        kind = "other-state"
        if self.last is None:
            expected, kind = "the run had stored none yet", "state-of-unknown-origin"
        elif before is not None:
            expected, kind = f"{expected}; it is that of step {before.number}", "older-state"
        yield Finding(
            "persistence",
            kind,
            Level.BROKEN,
            place,
            f"it was handed the state {short(record.handed_out)}, but {expected}",
            step.number,
            (STORE, LOG),
        )
        if before is None:
            yield Stray(place, step.number, record.handed_out)

    def _failed(self, step: Step, place: Place) -> Iterator[Finding]:
        record = step.record
        known = self.current if not record.handed_out else record.handed_out
        if record.stored and known is not None and record.stored != known:
            yield Finding(
                "persistence",
                "failure-changed-state",
                Level.BROKEN,
                place,
                f"it failed, and yet the state is {short(record.stored)} after it and was "
                f"{short(known)} before",
                step.number,
                (STORE, LOG),
            )


def _held(
    series: Sequence[tuple[RunEvidence, NodeSteps]], walk: _Walk, answer: NodeAnswer
) -> Iterator[Finding | Stray]:
    """Compare what the node holds now with what its last step stored."""
    for run, steps in series:
        log = steps.node.log
        place = Place(run.run_id, steps.node.node_id)
        if log is None or not log.present:
            continue
        if log.problem:
            yield Finding(
                "persistence",
                "held-state-unreadable",
                Level.UNKNOWN,
                place,
                f"what the node holds could not be read: {log.problem.rstrip('.')}",
            )
    holding = [(run, steps) for run, steps in series if steps.node.log and steps.node.log.held]
    if not holding or walk.current is None or walk.last is None:
        return
    run, steps = holding[-1]
    assert steps.node.log is not None  # noqa: S101  as selected
    held, last = steps.node.log.held, walk.last.record
    # Of another store the answer says nothing.
    if held == walk.current or last.store_id != answer.store_id:
        return
    # A run that goes on may have stored another state since its rows were read.
    newest = {step.receipt.digest for _, steps in series for step in steps.chain[-1:]}
    if any(steps.node.log.head not in newest for _, steps in holding if steps.node.log):
        return
    place = Place(run.run_id, steps.node.node_id)
    yield Finding(
        "persistence",
        "held-state-differs",
        Level.BROKEN,
        place,
        f"the node holds the state {short(held)}, but its last step stored "
        f"{short(walk.current)}: the state was changed by no step",
        walk.last.number,
        (STORE, LOG),
    )
    yield Stray(place, walk.last.number, held)


def stored_states(steps: Iterable[Step]) -> Iterator[tuple[bytes, int]]:
    """Yield the digests of the states that steps have stored, and their numbers."""
    for step in steps:
        stores = step.record.stores and step.record.outcome != BEGUN
        if stores and step.record.stored != EMPTY:
            yield step.record.stored, step.number
