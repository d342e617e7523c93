"""Evidence from a SuperLink, and through it from the nodes that are connected, in batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedstate.errors import EvidenceError
from fedstate.exchange.messages import DELIVERY_COLUMNS
from fedstate.flower.control import NoEvidenceError
from fedstate.verify.evidence import (
    Delivery,
    Dropped,
    Evidence,
    FormerKey,
    HeldLog,
    NodeAnswer,
    NodeEvidence,
    RunEvidence,
)
from fedstate.verify.told import read_told
from fedstate.witness import MalformedRecordError, Receipt

if TYPE_CHECKING:
    from fedstate.flower.control import Control

# Of runs with a thousand steps each, as many as take some tens of megabytes.
RUNS_IN_A_BATCH = 25
RUNS_IN_THE_FIRST_BATCH = 5
NODE_SECONDS = 10.0
# What is said of a delivery, in the order of `Delivery`.
_DELIVERY = tuple(field.name for field in fields(Delivery))


class SuperLinkSource:
    """What one SuperLink knows of runs.

    Parameters
    ----------
    control : Control
        A client of its Control API.
    records : Path
        The directory of the records that ServerApps have left.
    node_seconds : float
        How long a node has for its answer.
    """

    def __init__(
        self, control: "Control", records: Path, node_seconds: float = NODE_SECONDS
    ) -> None:
        self._control = control
        self._records = records
        self._node_seconds = node_seconds
        self._witnessed = True
        self._runs: dict[int, RunEvidence] = {}

    def runs(self) -> list[RunEvidence]:
        """Return all runs that the account may see, the newest first, without what is in them.

        Raises
        ------
        FederationError
            The SuperLink cannot be asked.
        """
        found: list[RunEvidence] = []
        try:
            for page in self._control.evidence():
                found += [_run(account) for account in page.runs]
        except NoEvidenceError:
            self._witnessed = False
            statuses = self._control.run_statuses()
            found = [
                RunEvidence(run_id, status=status, witnessed=False)
                for run_id, status in statuses.items()
            ]
        self._runs = {run.run_id: run for run in found}
        return found

    def batches(self, run_ids: Sequence[int], *, ask_nodes: bool = True) -> Iterator[Evidence]:
        """Yield the evidence of runs, and of all others of their series, a few runs at a time.

        `runs` has to be called before.

        Raises
        ------
        FederationError
            The SuperLink cannot be asked, or has none of such a run.
        EvidenceError
            The SuperLink's answer contradicts itself.
        """
        return (fetch() for fetch in self.fetches(run_ids, ask_nodes=ask_nodes))

    def fetches(
        self, run_ids: Sequence[int], *, ask_nodes: bool = True
    ) -> Iterator[Callable[[], Evidence]]:
        """Yield what fetches each of the batches of `batches`, from any thread."""
        for batch in self._grouped(run_ids):
            yield partial(self._fetch, batch, ask_nodes=ask_nodes)

    def _fetch(self, batch: Sequence[int], *, ask_nodes: bool) -> Evidence:
        if self._witnessed:
            evidence = gather(
                self._control.evidence(batch, ask_nodes=ask_nodes, seconds=self._node_seconds)
            )
        else:
            evidence = Evidence([self._runs[each] for each in batch if each in self._runs])
        for run in evidence.runs:
            try:
                run.told = read_told(self._records, run.run_id)
            except EvidenceError as error:
                run.told_problem = str(error)
        return evidence

    def _grouped(self, run_ids: Sequence[int]) -> Iterator[list[int]]:
        """Yield batches of runs, in which each series is whole."""
        series: dict[int, list[int]] = {}
        for run in self._runs.values():
            series.setdefault(run.series_id or run.run_id, []).append(run.run_id)
        batch: list[int] = []
        # The first ones are small: until one has come there is nothing to check.
        limit = RUNS_IN_THE_FIRST_BATCH
        done: set[int] = set()
        for run_id in run_ids:
            if run_id in done:
                continue
            known = self._runs.get(run_id)
            members = [run_id] if known is None else series[known.series_id or run_id]
            done.update(members)
            batch += members
            if len(batch) >= limit:
                yield batch
                batch, limit = [], min(2 * limit, RUNS_IN_A_BATCH)
        if batch:
            yield batch


def gather(pages: Iterable[Any]) -> Evidence:
    """Return the evidence in the pages of a SuperLink's answer.

    Raises
    ------
    EvidenceError
        A page has something of a run that was not asked for.
    """
    runs: dict[int, RunEvidence] = {}
    evidence = Evidence([])
    # Most rows of the nodes are receipts of the SuperLink, too: those come and are read once.
    sent: list[Receipt] = []
    began = 0.0

    def node(run_id: int, node_id: int) -> NodeEvidence:
        try:
            return runs[run_id].node(node_id)
        except KeyError:
            raise EvidenceError(
                f"The SuperLink answers for run {run_id}, which it was not asked for."
            ) from None

    for page in pages:
        for account in page.runs:
            runs[account.run_id] = _run(account)
        evidence.keys |= {each.node_id: each.public_key for each in page.nodes}
        evidence.former_keys |= {
            each.node_id: [FormerKey(key.public_key, key.until) for key in each.former_keys]
            for each in page.nodes
            if each.former_keys
        }
        for run_id, node_id, delivery in _deliveries(page.deliveries, page.delivery_columns):
            node(run_id, node_id).deliveries.append(delivery)
        later = _deliveries(page.later_deliveries, page.later_delivery_columns)
        for run_id, node_id, delivery in later:
            node(run_id, node_id).later.add(delivery.message_id)
        for run_id, node_id, row, signature in _receipts(page):
            receipt = Receipt(row, signature)
            sent.append(receipt)
            node(run_id, node_id).receipts.append(receipt)
        for log in page.logs:
            _add_log(runs, evidence, log, sent)
        for each in page.dropped:
            _drop(node(each.run_id, each.node_id), each, first=bool(page.runs))
        if page.account_began_at:
            began = page.account_began_at
    evidence.runs = list(runs.values())
    for run in evidence.runs:
        run.account_began_at = began
    return evidence


def _drop(node: NodeEvidence, dropped: Any, *, first: bool) -> None:
    """Note what is not kept any longer; what has gone while it was read is not kept, either."""
    meanwhile = 0 if first else dropped.deliveries - node.dropped.deliveries
    gone = [each.message_id for each in node.deliveries if each.answered_at][:meanwhile]
    node.deliveries = [each for each in node.deliveries if each.message_id not in gone]
    node.dropped = Dropped(
        *(dropped.deliveries, dropped.receipts, dropped.store_id, dropped.step, dropped.anchor)
    )


def _add_log(
    runs: dict[int, RunEvidence],
    evidence: Evidence,
    log: Any,
    sent: Sequence[Receipt],
) -> None:
    if log.state != "partial":
        evidence.answers[log.node_id] = NodeAnswer(
            log.state, log.problem, log.store_id, log.opening, log.generation
        )
    for receipt in _rows(log, sent):
        run = runs.get(_run_of(receipt, next(iter(runs))))
        if run is not None:
            run.node(log.node_id).rows.append(receipt)
    for each in log.runs:
        # A node that has no part in a run has nothing to say of it.
        if each.run_id in runs and (each.length or log.node_id in runs[each.run_id].nodes):
            runs[each.run_id].node(log.node_id).log = HeldLog(
                present=each.present,
                complete=each.complete,
                length=each.length,
                pruned=each.pruned,
                anchor=each.anchor,
                head=each.head,
                held=each.held,
                problem=each.problem,
            )


def _rows(log: Any, sent: Sequence[Receipt]) -> Iterator[Receipt]:
    """Yield the rows of a part of a log: some are named by their places among what was sent."""
    for each in log.receipts:
        yield Receipt(each.record, each.signature)
    new = map(Receipt, *_columns(log, ("records", "signatures")))
    for place in log.places:
        row = sent[place - 1] if 0 < place <= len(sent) else None
        if not place:
            row = next(new, None)
        if row is None:
            raise EvidenceError("The SuperLink's answer contradicts itself: it lacks a row.")
        yield row


def _run_of(receipt: Receipt, otherwise: int) -> int:
    try:
        return receipt.record.run_id
    except MalformedRecordError:
        return otherwise


def _run(account: Any) -> RunEvidence:
    return RunEvidence(
        run_id=account.run_id,
        series_id=account.series_id,
        status=account.status,
        submitted_at=account.submitted_at,
        finished_at=account.finished_at,
        from_run=account.from_run if account.HasField("from_run") else None,
    )


def _deliveries(rows: Iterable[Any], columns: Any) -> Iterator[tuple[int, int, Delivery]]:
    """Yield deliveries with their runs and nodes; an older release has them in rows."""
    for each in rows:
        values = (getattr(each, field) for field in _DELIVERY)
        yield each.run_id, each.node_id, Delivery(*values)
    node_ids, *values_of = _columns(
        columns, ("node_ids", *map(DELIVERY_COLUMNS.__getitem__, _DELIVERY))
    )
    for node_id, delivery in zip(node_ids, map(Delivery, *values_of), strict=True):
        yield columns.run_id, node_id, delivery


def _receipts(page: Any) -> Iterator[tuple[int, int, bytes, bytes]]:
    for each in page.receipts:
        yield each.run_id, each.node_id, each.receipt.record, each.receipt.signature
    columns = page.receipt_columns
    each_of = zip(*_columns(columns, ("node_ids", "records", "signatures")), strict=True)
    for node_id, record, signature in each_of:
        yield columns.run_id, node_id, record, signature


def _columns(columns: Any, names: Iterable[str]) -> list[Any]:
    """Return columns, which have an element for each row."""
    found = [getattr(columns, name) for name in names]
    if len({len(each) for each in found}) > 1:
        raise EvidenceError("The SuperLink's answer contradicts itself: its columns differ.")
    return found
