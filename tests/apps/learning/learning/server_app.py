"""The ServerApp: averages in a fixed order, and writes what the run came to."""

import hashlib
import json
import time
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
    grid = ResendingGrid(PollingGrid(grid))
    while len(nodes := sorted(grid.get_node_ids())) < int(config["nodes"]):
        time.sleep(0.1)
    generator = np.random.default_rng(int(config["seed"]))
    body = [generator.standard_normal((16, 32)).astype("float32") / 4, np.zeros(32, "float32")]
    for server_round in range(1, int(config["rounds"]) + 1):
        content = RecordDict({"arrays": ArrayRecord(body)})
        content["config"] = ConfigRecord({"server-round": server_round})
        replies = _exchange(grid, nodes, content, "train", str(server_round))
        trained = [each.content.array_records["arrays"].to_numpy_ndarrays() for each in replies]
        body = [np.mean(layers, axis=0) for layers in zip(*trained, strict=True)]
    states = _exchange(grid, nodes, RecordDict(), "query.state", "end")
    result = {
        "body": _digest(body),
        "histories": [list(each.content.metric_records["history"]["loss"]) for each in states],  # type: ignore[arg-type]
        "own": [
            _digest(each.content.array_records["own"].to_numpy_ndarrays()) for each in states
        ],
    }
    Path(str(config["result"])).write_text(json.dumps(result))


def _exchange(
    grid: Grid, nodes: list[int], content: RecordDict, kind: str, group: str
) -> list[Message]:
    messages = [Message(content, node, kind, group_id=group) for node in nodes]
    replies = list(grid.send_and_receive(messages))
    failed = [str(reply.error.reason) for reply in replies if reply.has_error()]
    if failed or len(replies) != len(nodes):
        raise RuntimeError(f"{len(replies)} of {len(nodes)} replies, errors: {failed}")
    return sorted(replies, key=lambda reply: reply.metadata.src_node_id)


def _digest(arrays: list[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
