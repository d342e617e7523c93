"""Agreement: the receipts that the SuperLink keeps are the rows of the node's log."""

import itertools
from collections.abc import Iterator

from fedstate.verify.evidence import ANSWERED, Delivery, HeldLog, NodeAnswer, RunEvidence
from fedstate.verify.findings import LOG, RECEIPTS, SUPERLINK, Finding, Level, Place, numbers
from fedstate.verify.steps import NodeSteps, Step


def agreement(run: RunEvidence, steps: NodeSteps, answer: NodeAnswer) -> Iterator[Finding]:
    """Compare the receipts of a node with the rows of its log."""
    check = _Agreement(run, steps, answer)
    yield from check.twice()
    if answer.state == ANSWERED:
        yield from check.compared()
    elif steps.every:
        yield from check.not_compared()


class _Agreement:
    def __init__(self, run: RunEvidence, steps: NodeSteps, answer: NodeAnswer) -> None:
        self._run = run
        self._steps = steps
        self._answer = answer
        self._place = Place(run.run_id, steps.node.node_id)

    def _found(self, kind: str, level: Level, text: str, step: int = 0, *parties: str) -> Finding:
        return Finding("agreement", kind, level, self._place, text, step, parties)

    def not_compared(self) -> Iterator[Finding]:
        """Tell that the node was not asked."""
        reason = f": {self._answer.problem.rstrip('.')}" if self._answer.problem else ""
        yield self._found(
            "node-not-asked",
            Level.UNKNOWN,
            f"the node is {self._answer.state}{reason}; its receipts were checked, its log and "
            "what it holds were not",
        )

    def twice(self) -> Iterator[Finding]:
        """Find steps of which there are two rows."""
        signed: list[tuple[Step, Step]] = []
        for other, chosen in self._steps.forks:
            if other.vouched and chosen.vouched:
                signed.append((other, chosen))
                continue
            false = chosen if other.vouched else other
            where = LOG if false.in_log else RECEIPTS
            yield self._found(
                "altered-row",
                Level.BROKEN,
                f"there are two rows of it, and the one in {where} is not signed by the node: "
                "it was altered",
                other.number,
                LOG,
                RECEIPTS,
            )
        if not signed:
            return
        which = numbers(other.number for other, _ in signed)
        openings = {step.record.opening for pair in signed for step in pair}
        two_rows = f"the node has signed two different rows of steps {which}"
        if len(openings) == 1:
            kind, text = "two-rows", two_rows
        elif self._take_turns(signed):
            kind = "copied-store"
            text = (
                f"{two_rows}, which continue two chains in turns: a copy of its store is in use "
                "beside it, with the same key"
            )
        else:
            kind = "older-backup"
            text = (
                f"{two_rows}, from different openings of its store: it was put back to an older "
                "backup and went on, or a copy of it is in use"
            )
        yield self._found(kind, Level.BROKEN, text, signed[0][0].number, RECEIPTS, LOG)

    def _take_turns(self, signed: list[tuple[Step, Step]]) -> bool:
        """Whether two chains went on by turns; of an older backup only the last one goes on."""
        fork = min(other.number for other, _ in signed)
        rows = {
            step.receipt.digest: step
            for step in sorted(self._steps.every, key=lambda step: step.number)
            if step.number >= fork
        }
        chains: dict[bytes, bytes] = {}
        for digest, step in rows.items():
            chains[digest] = chains.get(step.record.previous, digest)
        in_time = sorted(rows, key=lambda digest: rows[digest].record.time)
        turns = list(itertools.groupby(in_time, key=chains.__getitem__))
        return len(turns) > len(set(chains.values()))

    def compared(self) -> Iterator[Finding]:
        """Compare receipts with the log that the node has shown."""
        log = self._steps.node.log or HeldLog(False, False, 0)
        receipts = [step for step in self._steps.chain if step.at_superlink]
        here = [s for s in receipts if s.record.store_id == self._answer.store_id]
        elsewhere = [s for s in receipts if s.record.store_id != self._answer.store_id]
        if elsewhere and not here:
            yield self._found(
                "store-replaced",
                Level.UNKNOWN if self._run.finished else Level.BROKEN,
                f"the receipts are of store {elsewhere[0].record.store_id[:8]}, and the node now "
                f"has store {self._answer.store_id[:8] or 'none'}",
                elsewhere[-1].number,
                RECEIPTS,
                LOG,
            )
            return
        yield from self._beyond(here, log)
        lacking = [
            step for step in here if not step.in_log and log.pruned < step.number <= log.length
        ]
        forked = {other.number for other, _ in self._steps.forks}
        if dropped := [step.number for step in lacking if step.number not in forked]:
            yield self._found(
                "dropped-row",
                Level.BROKEN,
                f"the node's log lacks the rows of steps {numbers(dropped)}, whose receipts the "
                "SuperLink has"
                if len(dropped) > 1
                else "the node's log lacks the row of this step, whose receipt the SuperLink has",
                dropped[0],
                RECEIPTS,
                LOG,
            )
        yield from self._ends(log)
        yield from self._without_receipt()

    def _beyond(self, receipts: list[Step], log: HeldLog) -> Iterator[Finding]:
        beyond = [step for step in receipts if step.number > log.length]
        newest = max((step.record.generation for step in receipts), default=0)
        if beyond:
            yield self._found(
                "older-backup",
                Level.BROKEN,
                f"the node's log ends at step {log.length}, and the SuperLink has receipts up "
                f"to step {max(step.number for step in beyond)}: the node's store was put back "
                "to an older backup",
                log.length + 1,
                RECEIPTS,
                LOG,
            )
        elif newest > self._answer.generation:
            yield self._found(
                "older-backup",
                Level.BROKEN,
                f"the node's store is at commit {self._answer.generation}, and it has signed "
                f"commit {newest}: it was put back to an older backup",
                0,
                RECEIPTS,
                LOG,
            )

    def _ends(self, log: HeldLog) -> Iterator[Finding]:
        """Compare the newest rows with what the log says of its ends."""
        if not log.present and log.length:
            yield self._found(
                "freed",
                Level.TOLD,
                "the node has freed the run; its receipts speak for its steps",
            )
        elif log.pruned:
            yield self._found(
                "pruned", Level.TOLD, f"the first {log.pruned} rows are not kept by the node"
            )
        by_number = {
            step.number: step
            for step in self._steps.chain
            if step.record.store_id == self._answer.store_id
        }
        last = by_number.get(log.length)
        if log.length > log.pruned and last is None:
            yield self._found(
                "dropped-row",
                Level.BROKEN,
                f"the node's log has had {log.length} rows, and does not show the last",
                log.length,
                LOG,
            )
        dropped = self._steps.node.dropped
        known = [(log.head, last), (log.anchor, by_number.get(log.pruned))]
        if dropped.store_id == self._answer.store_id:
            known.append((dropped.anchor, by_number.get(dropped.step)))
        for digest, step in known:
            if step is not None and digest and step.receipt.digest != digest:
                yield self._found(
                    "altered-row",
                    Level.BROKEN,
                    "its row is not the one that is named as the last of those that were "
                    "written or have gone",
                    step.number,
                    RECEIPTS if step.at_superlink or digest == dropped.anchor else LOG,
                    LOG,
                )

    def _without_receipt(self) -> Iterator[Finding]:
        answers = {
            each.message_id: each for each in self._steps.node.deliveries if each.answered_at
        }
        forked = {other.number for other, _ in self._steps.forks}
        # A step that failed and was sent again has several rows, of which one was the answer.
        has = {step.record.message_id for step in self._steps.every if step.at_superlink}
        without = [
            step
            for step in self._steps.chain
            if not step.at_superlink
            and step.number not in forked
            and step.record.message_id in answers.keys() - has
            and not self._steps.node.dropped.has(step.record.store_id, step.number)
        ]
        late = [step for step in without if _is_late(step, answers[step.record.message_id])]
        missing = [step.number for step in without if step not in late]
        if missing:
            yield self._found(
                "missing-receipt",
                Level.BROKEN,
                f"the SuperLink accepted the replies of steps {numbers(missing)}, and has no "
                "receipt of them",
                missing[0],
                LOG,
                SUPERLINK,
            )
        if late:
            yield self._found(
                "late-receipt",
                Level.UNKNOWN,
                f"steps {numbers(step.number for step in late)} failed, and their rows were "
                "written after their errors had been accepted: their receipts are on their way",
                late[0].number,
            )


def _is_late(step: Step, answer: Delivery) -> bool:
    """Whether a failure was logged after its error had left: the node's disk was full before."""
    return answer.failed and step.record.failed and step.record.time > answer.answered_at
