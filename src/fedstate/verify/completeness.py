"""Completeness: a row for each message that was delivered, and no row for any other."""

import itertools
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from fedstate.verify.evidence import (
    ANSWERED,
    WITHOUT_A_LOG,
    Delivery,
    NodeAnswer,
    RunEvidence,
)
from fedstate.verify.findings import LOG, RECEIPTS, SUPERLINK, Finding, Level, Place, numbers
from fedstate.verify.steps import NodeSteps, Step, by_store, messages_of
from fedstate.witness import genesis

# What is shown of the reason of a failure, in characters.
_REASON = 400


def completeness(run: RunEvidence, steps: NodeSteps, answer: NodeAnswer) -> Iterator[Finding]:
    """Compare the node's rows with what the SuperLink delivered to it."""
    check = _Completeness(run, steps, answer)
    yield from check.dropped()
    yield from check.gaps()
    yield from check.delivered()
    yield from check.undelivered()
    yield from check.repeated()
    yield from check.failed()


class _Completeness:
    def __init__(self, run: RunEvidence, steps: NodeSteps, answer: NodeAnswer) -> None:
        self._run = run
        self._steps = steps
        self._node = steps.node
        self._dropped = steps.node.dropped
        self._answer = answer
        self._place = Place(run.run_id, steps.node.node_id)
        self._rows = messages_of(steps.chain)
        # A row that names another run is still the answer to the message that it came for.
        self._foreign = messages_of(steps.foreign)
        self._forks = messages_of(other for other, _ in steps.forks)

    def _found(self, kind: str, level: Level, text: str, step: int = 0, *parties: str) -> Finding:
        return Finding("completeness", kind, level, self._place, text, step, parties)

    def gaps(self) -> Iterator[Finding]:
        """Find rows that are missing between others, or that do not follow from each other."""
        log = self._node.log
        unanswered = sum(not each.answered_at for each in self._node.deliveries)
        for chain in by_store(self._steps.chain):
            of_this_store = log is not None and (
                chain[-1].record.store_id == self._answer.store_id
            )
            last = log.pruned if of_this_store and log is not None else 0
            if not of_this_store and self._dropped.has(chain[-1].record.store_id, 0):
                last = self._dropped.step
            previous: Step | None = None
            for step in chain:
                if step.number > last + 1:
                    missing = range(last + 1, step.number)
                    # Without the node's log, a reply that never arrived has left no receipt.
                    never_sent = self._answer.state != ANSWERED and len(missing) <= unanswered
                    yield self._found(
                        "missing-receipt" if never_sent else "dropped-row",
                        Level.UNKNOWN if never_sent else Level.BROKEN,
                        f"the rows of steps {numbers(missing)} are missing"
                        if len(missing) > 1
                        else "the row of this step is missing",
                        missing[0],
                        LOG,
                        RECEIPTS,
                    )
                elif step.record.previous != self._digest_before(step, previous):
                    yield self._found(
                        "broken-chain",
                        Level.BROKEN,
                        f"its row does not follow from that of step {step.number - 1}, one of "
                        "the two was put in the place of another",
                        step.number,
                        LOG,
                        RECEIPTS,
                    )
                last, previous = max(last, step.number), step
        order = [step.number for step in self._in_order_of_the_log()]
        if order != sorted(order):
            at = next(now for before, now in pairwise(order) if now < before)
            yield self._found(
                "reordered-rows",
                Level.BROKEN,
                "the node's log has its row after that of a later step",
                at,
                LOG,
            )
        rows = Counter(receipt.row for receipt in self._node.rows)
        if repeated := [row for row, count in rows.items() if count > 1]:
            yield self._found(
                "replayed-row",
                Level.BROKEN,
                f"the node's log has {len(repeated)} row(s) more than once",
                0,
                LOG,
            )

    def _digest_before(self, step: Step, previous: Step | None) -> bytes:
        """Return what a row has to name as the one before it; what it names, if not known."""
        if previous is not None and previous.number == step.number - 1:
            return previous.receipt.digest
        record = step.record
        if step.number == 1:
            return genesis(record.store_id, record.run_id)
        dropped, log = self._dropped, self._node.log
        if (record.store_id, step.number) == (dropped.store_id, dropped.step + 1):
            return dropped.anchor
        if log is not None and (record.store_id, step.number) == (
            self._answer.store_id,
            log.pruned + 1,
        ):
            return log.anchor or record.previous
        return record.previous

    def _in_order_of_the_log(self) -> list[Step]:
        by_row = {step.receipt.row: step for step in self._steps.chain}
        found = [by_row[each.row] for each in self._node.rows if each.row in by_row]
        # Another store begins to count anew.
        return [step for step in found if step.record.store_id == found[0].record.store_id]

    def delivered(self) -> Iterator[Finding]:
        """Find messages that were delivered and have no row."""
        without: list[Delivery] = []
        unanswered: list[Delivery] = []
        for delivery in self._node.deliveries:
            id_ = delivery.message_id
            rows = self._rows.get(id_) or self._foreign.get(id_) or self._forks.get(id_)
            if not rows:
                (without if delivery.answered_at else unanswered).append(delivery)
            elif (
                delivery.answered_at
                and not delivery.failed
                and not any(step.record.committed for step in rows)
            ):
                yield self._found(
                    "success-told-of-failure",
                    Level.BROKEN,
                    "a reply with content was accepted, and the row says that the step failed",
                    rows[-1].number,
                    SUPERLINK,
                    LOG,
                )
        if unanswered:
            yield self._unanswered(unanswered)
        yield from self._without_row(without)

    def _unanswered(self, deliveries: list[Delivery]) -> Finding:
        which = _messages(deliveries)
        if self._run.finished:
            why = "the run ended, or the node was lost, before it had answered"
        elif self._answer.state == ANSWERED:
            why = "under way"
        else:
            why = f"the node is {self._answer.state}"
        return self._found("not-answered", Level.TOLD, f"{which} delivered, no row yet: {why}")

    def _without_row(self, deliveries: list[Delivery]) -> Iterator[Finding]:
        if not deliveries:
            return
        log, rows = self._node.log, self._steps.every
        if not rows and not (log and log.length):
            if self._answer.state in (ANSWERED, WITHOUT_A_LOG) and not (log and log.complete):
                text = "the SuperNode keeps no log of this run (Flower's own, or an older one)"
            elif self._answer.state == ANSWERED:
                yield self._lacks_rows(deliveries)
                return
            else:
                text = f"there is no receipt of this node, and it is {self._answer.state}"
            yield self._found(
                "no-log", Level.UNKNOWN, f"{text}: {_messages(deliveries)} delivered"
            )
            return
        failed = [each for each in deliveries if each.failed]
        if failed:
            yield self._found(
                "failure-without-row",
                Level.TOLD,
                f"{_messages(failed)} answered with an error and without a row: no row could be "
                "written",
            )
        early = self._before_all_rows(deliveries)
        if early:
            known = self._node.log is not None and not self._node.log.complete
            yield self._found(
                "before-the-log",
                Level.TOLD if known else Level.UNKNOWN,
                f"{_messages(early)} answered before the first row that is known",
            )
        left = [each for each in deliveries if not each.failed and each not in early]
        if left:
            yield self._lacks_rows(left)

    def _before_all_rows(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Return those that may have been answered before there were rows.

        Rows are written since the log began, and what a node does not keep of them has receipts.
        """
        if not self._may_be_older():
            return []
        older = itertools.takewhile(
            lambda each: each.message_id not in self._rows, self._node.deliveries
        )
        ids = {each.message_id for each in older}
        return [each for each in deliveries if not each.failed and each.message_id in ids]

    def _may_be_older(self) -> bool:
        log = self._node.log
        first = self._steps.chain[0].number == 1 if self._steps.chain else False
        return first and (log is None or not log.complete)

    def _lacks_rows(self, deliveries: list[Delivery]) -> Finding:
        return self._found(
            "message-without-row",
            Level.BROKEN,
            f"{_messages(deliveries)} delivered and answered, and there is no row of it",
            0,
            SUPERLINK,
            LOG,
        )

    def undelivered(self) -> Iterator[Finding]:
        """Find rows of messages that the SuperLink did not deliver."""
        if not self._run.witnessed:
            return
        known = {each.message_id for each in self._node.deliveries} | self._node.later
        steps = [step for step in self._steps.chain if step.record.is_step]
        unknown = [step for step in steps if step.record.message_id not in known]
        delivered = [s.number for s in self._steps.chain if s.record.message_id in known]
        unknown = self._not_dropped(unknown, min(delivered, default=0))
        if not unknown:
            return
        first = min((each.delivered_at for each in self._node.deliveries), default=None)
        began = self._run.account_began_at
        older = not self._run.submitted_at or self._run.submitted_at < began
        old = [
            step
            for step in unknown
            if older and first is not None and step.record.time < first and not step.at_superlink
        ]
        if old:
            yield self._found(
                "before-the-superlinks-account",
                Level.TOLD,
                f"steps {numbers(step.number for step in old)} are older than the SuperLink's "
                "account of deliveries",
            )
        left = [step for step in unknown if step not in old]
        if not left:
            return
        newest = max(delivered, default=0)
        which = f"steps {numbers(step.number for step in left)}"
        if all(step.number > newest and not step.at_superlink for step in left):
            yield self._found(
                "superlink-rolled-back",
                Level.BROKEN,
                f"the node's log has {which}, of which the SuperLink knows nothing: its database "
                "was put back to an older one",
                left[0].number,
                LOG,
                SUPERLINK,
            )
        else:
            yield self._found(
                "row-without-delivery",
                Level.BROKEN,
                f"the SuperLink did not deliver the messages of {which}",
                left[0].number,
                LOG,
                SUPERLINK,
            )

    def _not_dropped(self, unknown: list[Step], first_delivered: int) -> list[Step]:
        """Return rows but those whose messages a bounded account has dropped: the oldest."""
        dropped = self._dropped
        old = [
            step
            for step in unknown
            if step.number < first_delivered or dropped.has(step.record.store_id, step.number)
        ]
        # Nor more than it has dropped.
        if len({step.record.message_id for step in old}) > dropped.deliveries:
            return unknown
        return [step for step in unknown if step not in old]

    def dropped(self) -> Iterator[Finding]:
        """Tell of what the SuperLink does not keep any longer."""
        if self._dropped.deliveries:
            yield self._found(
                "dropped-by-the-superlink",
                Level.TOLD,
                "the SuperLink's account is bounded: the first "
                f"{self._dropped.deliveries} deliveries and {self._dropped.receipts} receipts "
                "are not kept",
            )

    def repeated(self) -> Iterator[Finding]:
        """Find messages whose step was committed more than once."""
        for rows in self._rows.values():
            committed = [step for step in rows if step.record.committed]
            if len(committed) > 1:
                yield self._found(
                    "replayed-message",
                    Level.BROKEN,
                    f"one message was committed in the steps "
                    f"{numbers(step.number for step in committed)}",
                    committed[1].number,
                    LOG,
                )

    def failed(self) -> Iterator[Finding]:
        """Tell of steps that failed: their state was kept, and no promise is broken."""
        reasons: dict[str, list[int]] = {}
        for step in self._steps.chain:
            if step.record.failed:
                reasons.setdefault(step.record.reason, []).append(step.number)
        for reason, failed in reasons.items():
            which = f"steps {numbers(failed)}" if len(failed) > 1 else f"step {failed[0]}"
            text = f"{which} failed: {_last_line(reason) or 'no reason given'}"
            yield self._found("failed-step", Level.TOLD, text)


def _last_line(reason: str) -> str:
    """Return the end of a reason, which an app may have written at any length.

    What is too long ends with a whole sentence, or a whole word: what is left of a command would
    be another one.
    """
    line = "".join(reason.strip().splitlines()[-1:]).rstrip(".")
    if len(line) <= _REASON:
        return line
    start = line[:_REASON]
    # Three dots: a finding ends with one of its own.
    sentence, end, _ = start.rpartition(". ")
    return f"{sentence if end else start.rpartition(' ')[0] or start} .."


def _messages(deliveries: list[Delivery]) -> str:
    first = deliveries[0]
    name = f"{first.action} message" + (f" of round {first.group_id}" if first.group_id else "")
    if len(deliveries) == 1:
        return f"a {name} was"
    return f"{len(deliveries)} messages (the first a {name}) were"
