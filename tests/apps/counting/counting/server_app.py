"""The ServerApp: averages in a fixed order, and writes what the run came to."""

import hashlib
import json
import resource
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from fedstate.grids import PollingGrid, ResendingGrid

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run all rounds with every node, then ask each for its state."""
    config = context.run_config
    grid = PollingGrid(grid)
    if config["resend"]:
        grid = ResendingGrid(grid, seconds=float(config["resend-seconds"]))
    while len(nodes := sorted(grid.get_node_ids())) < int(config["nodes"]):
        time.sleep(0.1)
    before = _peak_bytes()
    given = ArrayRecord([np.zeros(int(config["values"]))])
    errors: list[str] = []
    for server_round in range(1, int(config["rounds"]) + 1):
        content = RecordDict({"arrays": given})
        content["config"] = ConfigRecord({"server-round": server_round})
        replies = _exchange(grid, nodes, content, "train", str(server_round))
        errors += [str(reply.error.reason) for reply in replies if reply.has_error()]
        trained = [reply for reply in replies if reply.has_content()]
        if trained:
            given = ArrayRecord([_mean(trained)])
    values = _digest(given.to_numpy_ndarrays()[0])
    states = _exchange(grid, nodes, RecordDict(), "query.state", "end")
    if config["memory"]:
        memory = {"before": before, "peak": _peak_bytes()}
        Path(str(config["memory"])).write_text(json.dumps(memory))
    result = {
        "values": values,
        "errors": errors,
        "histories": [_history(reply) for reply in states],
        "own": [_digest(_own(reply)) for reply in states],
    }
    Path(str(config["result"])).write_text(json.dumps(result))


def _exchange(
    grid: Grid, nodes: Iterable[int], content: RecordDict, kind: str, group: str
) -> list[Message]:
    messages = [Message(content, node, kind, group_id=group) for node in nodes]
    return sorted(grid.send_and_receive(messages), key=lambda reply: reply.metadata.src_node_id)


def _mean(replies: list[Message]) -> np.ndarray:
    """Return what `np.mean` does, with one reply in memory after the other."""
    first, *others = replies
    (total,) = first.content.array_records["arrays"].to_numpy_ndarrays()
    for reply in others:
        (values,) = reply.content.array_records["arrays"].to_numpy_ndarrays()
        total += values
    total /= len(replies)
    return total


def _peak_bytes() -> int:
    """Return the largest resident memory that this process ever had, what it shares included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _history(reply: Message) -> list[float] | str:
    if reply.has_error():
        return str(reply.error.reason)
    return list(reply.content.metric_records["history"]["mean"])  # type: ignore[arg-type]


def _own(reply: Message) -> np.ndarray:
    if reply.has_error():
        return np.zeros(0)
    return reply.content.array_records["own"].to_numpy_ndarrays()[0]


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
