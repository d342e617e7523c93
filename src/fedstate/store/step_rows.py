"""The rows of a node's log as its operator reads them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from fedstate.store.logged_store import LoggedStore

_ROWS_AT_ONCE = 1000


def step_rows(
    store: LoggedStore, run_ids: Sequence[int] = (), *, failed: bool = False
) -> Iterator[dict[str, str | int | float]]:
    """Yield what the log says of each attempt at a step, the oldest first.

    A rollback, and a beginning with the state of another run, have rows among them.

    Parameters
    ----------
    store : LoggedStore
        The node store.
    run_ids : sequence of int
        The runs; without any, all runs.
    failed : bool
        Whether to leave out all rows but those of steps that failed. A message that the node has
        refused is a step that failed.

    Raises
    ------
    StoreDamagedError
        A row is not as it was written.
    """
    sequence = 0
    while rows := store.rows_after(sequence, run_ids, _ROWS_AT_ONCE):
        for row in rows:
            record = row.record
            sequence = record.sequence
            if failed and not record.failed:
                continue
            ended = datetime.fromtimestamp(record.time, UTC)
            yield {
                "time": ended.isoformat(timespec="milliseconds"),
                "run": str(record.run_id),
                "step": record.run_sequence,
                "round": record.group_id,
                "action": record.action,
                "message": record.message_id,
                "outcome": record.outcome,
                "reason": record.reason,
                "app_seconds": record.app_seconds,
                "commit_seconds": record.commit_seconds,
                "state_bytes": record.state_bytes,
                "new_bytes": record.new_bytes,
            }
