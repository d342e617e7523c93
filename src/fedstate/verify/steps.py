"""The steps of one node in one run, put together from receipts and from rows of its log."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fedstate.verify.evidence import NodeEvidence
from fedstate.witness import MalformedRecordError, Receipt, StepRecord


@dataclass(slots=True)
class Step:
    """A row, and who shows it.

    Attributes
    ----------
    receipt : Receipt
        The row with one of its signatures.
    record : StepRecord
        What it says.
    in_log, at_superlink : bool
        Whether it is in the node's log, and whether the SuperLink has its receipt.
    vouched : bool
        Whether the node's key has signed it, or a row that follows from it.
    """

    receipt: Receipt
    record: StepRecord
    in_log: bool = False
    at_superlink: bool = False
    vouched: bool = False

    @property
    def number(self) -> int:
        """The number of the step among those of its run."""
        return self.record.run_sequence


@dataclass
class NodeSteps:
    """The steps of one node in one run.

    Attributes
    ----------
    run_id : int
        The run.
    node : NodeEvidence
        Where they are from.
    chain : list of Step
        The steps, by their numbers; where there are several with one number in one store, the one
        that the node's log has, or else that came last.
    forks : list of tuple of Step
        The others, each with the one of the chain.
    foreign : list of Step
        Rows that name another run or node.
    malformed : list of str
        What was wrong with bytes that are no rows.
    """

    run_id: int
    node: NodeEvidence
    chain: list[Step] = field(default_factory=list)
    forks: list[tuple[Step, Step]] = field(default_factory=list)
    foreign: list[Step] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)

    @property
    def every(self) -> list[Step]:
        """All rows that can be read, whatever they say."""
        return [*self.chain, *(other for other, _ in self.forks), *self.foreign]


def put_together(run_id: int, node: NodeEvidence) -> NodeSteps:
    """Return the steps of a node in a run; nothing is verified but that rows can be read."""
    steps = NodeSteps(run_id, node)
    if (alike := _alike(run_id, node)) is not None:
        steps.chain = alike
        return steps
    found: dict[bytes, Step] = {}
    for receipts, from_log in ((node.receipts, False), (node.rows, True)):
        for receipt in receipts:
            step = found.get(receipt.row)
            if step is None:
                try:
                    step = Step(receipt, receipt.record)
                except MalformedRecordError as error:
                    whose = "a row of the node's log" if from_log else "a receipt"
                    steps.malformed.append(f"{whose} cannot be read: {error}")
                    continue
                found[receipt.row] = step
            if from_log:
                step.in_log = True
            else:
                step.at_superlink = True
    own: dict[tuple[str, int], Step] = {}
    for step in found.values():
        record = step.record
        if (record.run_id, record.node_id) != (run_id, node.node_id):
            steps.foreign.append(step)
            continue
        place = (record.store_id, record.run_sequence)
        if (other := own.get(place)) is None:
            own[place] = step
        elif other.in_log and not step.in_log:
            steps.forks.append((step, other))
        else:
            own[place] = step
            steps.forks.append((other, step))
    # A node that got another store in the middle of a run begins to count anew.
    began: dict[str, float] = {}
    for step in own.values():
        store = step.record.store_id
        began[store] = min(began.get(store, step.record.time), step.record.time)
    steps.chain = sorted(
        own.values(), key=lambda step: (began[step.record.store_id], step.number)
    )
    return steps


def _alike(run_id: int, node: NodeEvidence) -> list[Step] | None:
    """Return the steps where the log is the receipts, row by row, of one store; or None."""
    if len(node.receipts) != len(node.rows):
        return None
    chain: list[Step] = []
    store, number = "", 0
    for receipt, row in zip(node.receipts, node.rows, strict=True):
        # Evidence has one object for a receipt and its row; another has another signature.
        if receipt is not row:
            return None
        try:
            record = receipt.record
        except MalformedRecordError:
            return None
        if (
            record.run_id != run_id
            or record.node_id != node.node_id
            or record.run_sequence <= number
            or (number and record.store_id != store)
        ):
            return None
        store, number = record.store_id, record.run_sequence
        chain.append(Step(receipt, record, in_log=True, at_superlink=True))
    return chain


def vouch(
    steps: NodeSteps,
    is_signed: Callable[[Receipt], bool],
    *,
    each: bool,
    named: set[bytes] | None = None,
) -> None:
    """Find out for which rows the node's key vouches.

    A signature vouches for its own row and, since each row names the one before it by its digest,
    for all rows that lead to it. So of a chain without a break one signature is verified, and of
    the runs of a store, whose rows name those before them in the store as well, one for all.

    Parameters
    ----------
    steps : NodeSteps
        The steps of one node.
    is_signed : callable
        Verifies one signature with the node's key.
    each : bool
        Whether to verify every signature all the same.
    named : set of bytes, optional
        The digests of rows that rows of other runs have named, and for which the key vouches
        therefore; what the rows of this run name is put there.
    """
    named = set() if named is None else named
    following: Step | None = None
    for step in reversed(steps.chain):
        digest = step.receipt.digest
        linked = (
            following is not None and following.vouched and following.record.previous == digest
        ) or digest in named
        # A signature that was not noted is missed only where no later one vouches.
        enough = linked and not (each and step.receipt.signature)
        step.vouched = enough or is_signed(step.receipt)
        following = step
        named.discard(digest)
        before = step.record.previous_of_store
        # Within a run, the row before is named twice.
        if step.vouched and before and before != step.record.previous:
            named.add(before)
    for step in (*(other for other, _ in steps.forks), *steps.foreign):
        step.vouched = is_signed(step.receipt)


def by_store(chain: Sequence[Step]) -> list[list[Step]]:
    """Return the steps of each store, in the order in which the stores were used."""
    stores: dict[str, list[Step]] = {}
    for step in chain:
        stores.setdefault(step.record.store_id, []).append(step)
    return list(stores.values())


def messages_of(steps: Iterable[Step]) -> dict[str, list[Step]]:
    """Return the steps of each message."""
    messages: dict[str, list[Step]] = {}
    for step in steps:
        messages.setdefault(step.record.message_id, []).append(step)
    return messages
