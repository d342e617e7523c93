"""As many runs as there are: verified in bounded memory, by the command in a process of its own.

In the long tests there are 200 runs of 10 nodes and 100 rounds; the time is printed.
"""

import gc
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.supercore.utils import uint64_to_int64
from sqlalchemy import insert

from fedstate.connection import Connection, write_connection
from fedstate.exchange.messages import PushLogRequest, RunLog
from fedstate.flower.evidence_tables import DELIVERIES, RECEIPTS
from fedstate.flower.messages import Node as NodeProto
from fedstate.verify.persistence import EMPTY
from fedstate.verify.superlink import RUNS_IN_A_BATCH
from fedstate.witness import StepRecord, genesis, record_digest, sign
from fedstate.witness.witness_pb2 import Receipt
from tests.unit.superlink_in_process import SuperLink
from tests.unit.verify.at_superlink import ROWS_ON_A_PAGE, answering_with, register
from tests.unit.verify.made import digest, key_of

RUNS = int(os.environ.get("FEDSTATE_VERIFY_RUNS", "8"))
NODES, ROUNDS = 10, 100
MOST_MEGABYTES = 500

# The command, which leaves what the kernel knows of its memory; what the parent of a process is
# told of it counts the parent's own.
COMMAND = """
import atexit, pathlib, sys
from fedstate.cli import main
status = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: status.write_text(pathlib.Path("/proc/self/status").read_text()))
main()
"""


class ManyRuns:
    """Runs at a SuperLink, and the logs of their nodes."""

    def __init__(self, superlink: SuperLink) -> None:
        self.node_ids = [register(superlink) for _ in range(NODES)]
        self.rows: dict[tuple[int, int], list[Any]] = {}
        self.heads: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self._sequence = dict.fromkeys(self.node_ids, 0)
        self._of_store = dict.fromkeys(self.node_ids, b"")
        for left in range(RUNS, 0, -1):
            run_id = superlink.start_run()
            for node_id in self.node_ids:
                # To sign all rows would take as long as all the rest. Signatures are verified one
                # by one in the first batch, the newest runs; in others, the last of each chain.
                self.rows[run_id, node_id] = self._make(run_id, node_id, left <= RUNS_IN_A_BATCH)
            self._store(superlink, run_id)
            superlink.end_run(run_id)

    def _make(self, run_id: int, node_id: int, sign_all: bool) -> list[Any]:
        previous, state = genesis(f"store {node_id}", run_id), EMPTY
        receipts = []
        for number in range(1, ROUNDS + 1):
            self._sequence[node_id] += 1
            stored = digest(f"{run_id} {node_id} {number}")
            row = StepRecord(
                sequence=self._sequence[node_id],
                run_sequence=number,
                run_id=run_id,
                series_id=run_id,
                node_id=node_id,
                store_id=f"store {node_id}",
                group_id=str(number),
                action="train",
                message_id=digest(f"message {run_id} {node_id} {number}").hex(),
                handed_out=state,
                stored=stored,
                state_bytes=1_000_000,
                new_bytes=1000,
                app_seconds=0.5,
                commit_seconds=0.01,
                time=time.time(),
                outcome="committed",
                reason="",
                previous=previous,
                previous_of_store=self._of_store[node_id],
                generation=self._sequence[node_id],
                opening=b"opening",
            ).encode()
            signed = sign_all or number == ROUNDS
            signature = sign(row, key_of(node_id)).signature if signed else b"s" * 103
            receipts.append(Receipt(record=row, signature=signature))
            previous, state = record_digest(row), stored
            self._of_store[node_id] = previous
        self.heads[run_id, node_id] = previous, state
        return receipts

    def _store(self, superlink: SuperLink, run_id: int) -> None:
        """Note what was delivered and received, many rows at once."""
        deliveries, receipts = [], []
        for node_id in self.node_ids:
            names = {"run_id": uint64_to_int64(run_id), "node_id": uint64_to_int64(node_id)}
            for number, each in enumerate(self.rows[run_id, node_id], start=1):
                message = names | {
                    "message_id": digest(f"message {run_id} {node_id} {number}").hex()
                }
                times = {"delivered_at": time.time(), "answered_at": time.time()}
                told = {"group_id": str(number), "action": "train", "reply_id": "r"}
                deliveries.append(message | times | told | {"failed": False})
                receipt = {"record": each.record, "signature": each.signature}
                receipt |= {"digest": record_digest(each.record), "received_at": time.time()}
                receipts.append(message | receipt)
        with superlink.state.session() as session:
            session.execute(insert(DELIVERIES), deliveries)
            session.execute(insert(RECEIPTS), receipts)

    def pages(self, node_id: int, request: Any) -> Iterator[PushLogRequest]:
        node, name = NodeProto(node_id=node_id), request.request_id
        # A session of tests has other runs, in which these nodes take no part.
        run_ids = [each for each in request.run_ids if (each, node_id) in self.rows]
        rows = [row for run_id in run_ids for row in self.rows[run_id, node_id]]
        # As a SuperNode does: what is left comes with the last page.
        whole = len(rows) - len(rows) % ROWS_ON_A_PAGE
        for start in range(0, whole, ROWS_ON_A_PAGE):
            page = rows[start : start + ROWS_ON_A_PAGE]
            yield PushLogRequest(node=node, request_id=name, receipts=page)
        logs = []
        for run_id in run_ids:
            head, held = self.heads[run_id, node_id]
            log = RunLog(run_id=run_id, head=head, held=held, length=ROUNDS)
            log.present = log.complete = True
            logs.append(log)
        yield PushLogRequest(
            node=node,
            request_id=name,
            receipts=rows[whole:],
            runs=logs,
            last=True,
            store_id=f"store {node_id}",
            generation=self._sequence[node_id],
        )


@pytest.mark.timeout(600)
def test_many_runs_are_verified_in_bounded_memory(
    superlink: SuperLink,
    served_superlink: Connection,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    many = ManyRuns(superlink)
    write_connection(served_superlink, default=True, home=tmp_path)
    environment = {**os.environ, "FLWR_HOME": str(tmp_path), "FEDSTATE_RUNS": str(tmp_path)}
    output = tmp_path / "report.json"
    # A SuperLink does not have the rows of its nodes in its memory, to look for garbage among.
    gc.collect()
    gc.freeze()
    request.addfinalizer(gc.unfreeze)
    with answering_with(superlink, many.node_ids, many.pages), output.open("wb") as file:
        start = time.monotonic()
        command = [sys.executable, "-c", COMMAND, str(tmp_path / "status")]
        # By name: a session of tests has other runs. The newest first, as without names.
        names = list(dict.fromkeys(str(run) for run, _ in reversed(many.rows)))
        command += ["verify", *names, "--format", "json"]
        process = subprocess.Popen(command, env=environment, stdout=file)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
    report = json.loads(output.read_bytes())
    peak = re.search(r"VmHWM:\s+(\d+) kB", (tmp_path / "status").read_text())
    assert peak is not None
    megabytes = int(peak[1]) / 1024
    sys.stdout.write(
        f"{RUNS} runs of {NODES} nodes and {ROUNDS} rounds: {seconds:.1f} s "
        f"({usage.ru_utime + usage.ru_stime:.1f} s of processor time), {megabytes:.0f} MB\n"
    )
    assert process.returncode == 0, report["findings"][:5]
    assert len(report["runs"]) == RUNS
    counts = [node["step_count"] for run in report["runs"] for node in run["nodes"]]
    assert counts == [ROUNDS] * (RUNS * NODES)
    assert megabytes < MOST_MEGABYTES
