"""The rows of a node's log as its operator reads them."""

from collections.abc import Iterator
from datetime import UTC, datetime

from fedstate.store.logged_store import LoggedStore

_ROWS_AT_ONCE = 1000


def step_rows(
    store: LoggedStore, run_id: int | None = None, *, failed: bool = False
) -> Iterator[dict[str, str]]:
    """Yield what the log says of each step, the oldest first.

    Parameters
    ----------
    store : LoggedStore
        The node store.
    run_id : int, optional
        The run; without it, all runs.
    failed : bool
        Whether to leave out the steps that were committed. A message that the node has refused is
        a step that failed.

    Raises
    ------
    StoreDamagedError
        A row is not as it was written.
    """
    run_ids = [] if run_id is None else [run_id]
    sequence = 0
    while rows := store.rows_after(sequence, run_ids, _ROWS_AT_ONCE):
        for row in rows:
            record = row.record
            sequence = record.sequence
            if failed and record.committed:
                continue
            yield {
                "time": datetime.fromtimestamp(record.time, UTC).isoformat(timespec="seconds"),
                "run": str(record.run_id),
                "round": record.group_id,
                "action": record.action,
                "message": record.message_id,
                "outcome": record.outcome,
                "reason": record.reason,
            }
