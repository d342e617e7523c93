"""Whether a node's part in a run is as it nearly always is, which one look at each row can tell.

Three of the checks go through the rows of a node a dozen times, and of most nodes in most runs
they find nothing. What is found here to be plain, they find nothing in: see `is_plain`.
"""

from itertools import pairwise

from fedstate.verify.evidence import ANSWERED, Dropped, NodeAnswer, RunEvidence
from fedstate.verify.steps import NodeSteps
from fedstate.witness import genesis

_NOTHING_DROPPED = Dropped()


def is_plain(run: RunEvidence, steps: NodeSteps, answer: NodeAnswer) -> bool:
    """Return whether isolation, completeness and agreement have nothing to say of a node.

    False says nothing: the checks themselves then have to look.

    Parameters
    ----------
    run : RunEvidence
        The run, all of whose evidence is the SuperLink's and the nodes'.
    steps : NodeSteps
        The steps of the node, for which its key has vouched or not.
    answer : NodeAnswer
        What the node said.
    """
    chain, log, node = steps.chain, steps.node.log, steps.node
    if (
        not run.witnessed
        or run.node_alone
        or not chain
        or log is None
        or steps.forks
        or steps.foreign
        or steps.malformed
        or answer.state != ANSWERED
        or not answer.store_id
        or node.dropped != _NOTHING_DROPPED
    ):
        return False
    if (
        not (log.present and log.complete)
        or log.pruned
        or log.length != len(chain)
        or log.head != chain[-1].receipt.digest
        or not len(node.rows) == len(node.deliveries) == len(chain)
    ):
        return False
    return _rows_are_plain(steps, answer) and _chain_is_whole(run, steps, answer)


def _rows_are_plain(steps: NodeSteps, answer: NodeAnswer) -> bool:
    """Whether each row is where it belongs, signed, and the only answer to its message."""
    messages: set[str] = set()
    trios = zip(steps.chain, steps.node.rows, steps.node.deliveries, strict=True)
    for number, (step, row, delivery) in enumerate(trios, start=1):
        record = step.record
        if not (
            step.vouched
            and step.in_log
            and step.at_superlink
            and record.run_sequence == number
            and record.store_id == answer.store_id
            and record.committed
            and record.generation <= answer.generation
            and row.row == step.receipt.row
            and delivery.message_id == record.message_id
            and delivery.answered_at
            and not delivery.failed
        ):
            return False
        messages.add(record.message_id)
    return len(messages) == len(steps.chain)


def _chain_is_whole(run: RunEvidence, steps: NodeSteps, answer: NodeAnswer) -> bool:
    """Whether each row names the one before it."""
    if steps.chain[0].record.previous != genesis(answer.store_id, run.run_id):
        return False
    return all(
        step.record.previous == before.receipt.digest for before, step in pairwise(steps.chain)
    )
