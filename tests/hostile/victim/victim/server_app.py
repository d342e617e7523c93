"""The ServerApp: averages in a fixed order, and prints what the run came to."""

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from fedstate.grids import PollingGrid

from .treasure import Treasure, call_itself

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds; print a line ``RESULT`` of digests and losses."""
    config = context.run_config
    grid = PollingGrid(grid)
    treasure = None
    if config["tag"]:
        treasure = Treasure(f"{config['tag']}-s", f"treasure-{os.urandom(16).hex()}")
        call_itself(f"{config['tag']}-s")
        record = Path("victim-record.txt")
        try:
            record.write_text("a result")
        except OSError:
            record = Path()
    while len(nodes := sorted(grid.get_node_ids())) < int(str(config["nodes"])):
        time.sleep(0.1)
    values, digests, losses = np.zeros(1000), [], []
    for server_round in range(1, int(str(config["rounds"])) + 1):
        content = RecordDict({"arrays": ArrayRecord([values])})
        content["config"] = ConfigRecord({"server-round": server_round})
        messages = [Message(content, node, "train", group_id=str(server_round)) for node in nodes]
        replies = sorted(
            grid.send_and_receive(messages), key=lambda reply: reply.metadata.src_node_id
        )
        for reply in replies:
            if reply.has_error():
                raise RuntimeError(reply.error.reason)
        arrays = [
            reply.content.array_records["arrays"].to_numpy_ndarrays()[0] for reply in replies
        ]
        values = np.mean(arrays, axis=0)
        digests.append([hashlib.sha256(each.tobytes()).hexdigest() for each in arrays])
        losses.append([reply.content.metric_records["losses"]["all"] for reply in replies])
    kept = treasure.remove() if treasure else True
    if treasure and record.name:
        kept = kept and record.read_text() == "a result"
        record.unlink()
    result = {"digests": digests, "losses": losses, "kept": kept}
    print("RESULT", json.dumps(result), flush=True)  # noqa: T201
