"""The ServerApp: plain federated averaging that notes when each round ended."""

import json
import os
import time
from pathlib import Path

from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from bench_torch.task import average, make_model
from fedstate.grids import PollingGrid

app = ServerApp()

POLL_SECONDS = 0.1


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds, and write the seconds since the epoch at which each one ended."""
    config = context.run_config
    if config["polling"]:
        grid = PollingGrid(grid)
    while len(nodes := list(grid.get_node_ids())) < int(config["num-nodes"]):
        time.sleep(POLL_SECONDS)
    weights = make_model(float(config["megabytes"])).get_weights()
    times = [time.time()]
    for number in range(1, int(config["num-rounds"]) + 1):
        content = RecordDict({"arrays": ArrayRecord(weights)})
        messages = [Message(content, node, "train", group_id=str(number)) for node in nodes]
        replies = list(grid.send_and_receive(messages))
        for reply in replies:
            if reply.has_error():
                raise RuntimeError(f"A node failed: {reply.error.reason}")
        weights = average(
            [reply.content.array_records["arrays"].to_numpy_ndarrays() for reply in replies]
        )
        times.append(time.time())
    # The run's own directory, in which alone it may write.
    file = Path(os.environ["FEDSTATE_RUNS"]) / str(context.run_id) / "bench.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(times))
