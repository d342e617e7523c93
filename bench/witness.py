"""What the node's log and the receipt cost a step: time and bytes, against bounds."""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric import ec

from bench.row import Row
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value
from fedstate.witness.receipts import Receipt, sign

_STEPS = 300
_SECONDS, _BYTES = 0.002, 1024.0
_RUN = StoredRun(run_id=2**64 - 1, series_id=2**64 - 2, fab_hash="fab", finished_at=None)
_ATTEMPT = Attempt(2**64 - 3, "1000", "train", b"\1" * 32, 1.0, 0.0)


def rows() -> Iterator[Row]:
    """Measure steps with the log and without it, and yield one row for each cost."""
    key = ec.generate_private_key(ec.SECP384R1())
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        directory = Path(name)
        with (
            closing(NodeStore(directory / "with")) as ours,
            closing(NodeStore(directory / "without")) as bare,
        ):
            for store in (ours, bare):
                store.add_run(_RUN, Value(b""), Value(b""), Value(b""))
            with_log, without, receipts = [], [], []
            for number in range(_STEPS):
                message = hashlib.sha256(str(number).encode()).hexdigest()
                # Each after the other, so that both meet the same disk.
                with patch.object(bare, "_log_commit"):
                    without.append(_seconds(lambda: _step(bare, message, None)))  # noqa: B023
                with_log.append(
                    _seconds(lambda: receipts.append(_step(ours, message, key)))  # noqa: B023
                )
            sizes = [_size(store) for store in (ours, bare)]
            on_the_wire = statistics.mean(
                len(each.encode()) for each in receipts if each is not None
            )
    yield Row(
        "log and receipt of a step, against 2 ms",
        statistics.median(with_log) - statistics.median(without),
        _SECONDS,
        1.0,
        "s",
    )
    yield Row(
        "log of a step on the disk and its receipt on the way, against 1 KB",
        (sizes[0] - sizes[1]) / _STEPS + on_the_wire,
        _BYTES,
        1.0,
        "bytes",
    )


def _step(
    store: NodeStore, message: str, key: ec.EllipticCurvePrivateKey | None
) -> Receipt | None:
    store.receive(message, _RUN.run_id, Value(b"message"))
    store.commit(message, _RUN.series_id, Value(b"state"), Value(b"reply"), _ATTEMPT)
    receipt = store.receipt(message) if key else None
    if receipt and key:
        receipt = sign(receipt.row, key)
    store.answered(message, receipt.signature if receipt else b"")
    return receipt


def _size(store: NodeStore) -> int:
    """Return the bytes of all pages in use, once nothing else is kept."""
    store.compact()
    db = store._db  # noqa: SLF001  the pages of one table are nobody else's concern
    (size,) = db.execute("SELECT sum(payload) FROM dbstat").fetchone()
    return int(size)


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
