"""The check of a node's log: every row's checksum, and that the rows hold together."""

from collections.abc import Iterator

from fedstate.store.errors import DamagedValueError
from fedstate.store.step_log import Chain, StepLog
from fedstate.witness.chain import Fault, breaks
from fedstate.witness.receipts import Receipt
from fedstate.witness.record import MalformedRecordError


def log_findings(log: StepLog, store_id: str) -> Iterator[str]:
    """Yield what is wrong with a log, one sentence fragment for each finding.

    Parameters
    ----------
    log : StepLog
        The log.
    store_id : str
        The name of the store, which has to be in each row.
    """
    for chain in log.chains():
        try:
            yield from _findings_of(chain, log, store_id)
        except (DamagedValueError, MalformedRecordError) as error:
            yield str(error)


def _findings_of(chain: Chain, log: StepLog, store_id: str) -> Iterator[str]:
    newest: list[Receipt] = []

    def receipts() -> Iterator[Receipt]:
        for receipt in log.of_run(chain.run_id):
            newest[:] = [receipt]
            yield receipt

    name = f"the log of run {chain.run_id}"
    for each in breaks(
        receipts(),
        run_id=chain.run_id,
        store_id=store_id,
        pruned=chain.pruned,
        anchor=chain.anchor,
        length=chain.length,
    ):
        # The same key may have been registered anew, under another ID.
        if each.fault is not Fault.OF_ANOTHER_NODE:
            yield f"row {each.run_sequence} of {name} {each.fault.value}"
    if not newest:
        return
    if newest[0].digest != chain.head:
        yield f"{name} does not end with the row that it says"
    length, head = log.newest()
    last = newest[0].record.sequence
    if last > length:
        yield f"{name} is newer than the log of the store"
    elif last == length and newest[0].digest != head:
        yield f"{name} does not end as the log of the store does"
