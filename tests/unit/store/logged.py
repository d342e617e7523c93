"""A store with steps in its log, for the tests of the log."""

from fedstate.store.logged_store import Failure
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value
from fedstate.witness.receipts import Receipt

NODE = 2**63 + 1


def add_run(store: NodeStore, run_id: int, series_id: int | None = None) -> None:
    run = StoredRun(run_id, series_id or run_id, "fab", None)
    store.add_run(run, Value(b"record"), Value(b"fab"), Value(b"", description=b""))


def attempt(number: int = 1, handed_out: bytes = b"") -> Attempt:
    return Attempt(NODE, str(number), "train", handed_out, 0.5)


def commit(store: NodeStore, run_id: int, number: int, *blobs: bytes) -> bytes:
    """Commit a step of a run; return the digest of the state that it stored."""
    message = f"{run_id}-{number}"
    text = f"state {number}".encode()
    store.receive(message, run_id, Value(b"message"))
    value = Value(b"header" + text, blobs, text)
    done = store.commit(message, run_id, value, Value(b"reply"), attempt(number))
    store.answered(message, b"signature")
    return done.digest


def fail(store: NodeStore, run_id: int, number: int, reason: str = "It failed.") -> None:
    """Let a step of a run fail."""
    message = f"{run_id}-{number}"
    store.receive(message, run_id, Value(b"message"))
    store.record_failure(message, Failure(run_id, reason, attempt(number)))
    store.forget(message)


def rows(store: NodeStore, *run_ids: int) -> list[Receipt]:
    return store.rows_after(0, run_ids, 1_000_000)
