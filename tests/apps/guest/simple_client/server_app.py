"""Ask every node once a round, and fail the run unless each list grew by exactly one number."""

import time
from typing import cast

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds, printing what each node holds."""
    nodes = _nodes(grid, int(context.run_config["num-nodes"]))
    held: dict[int, list[int]] = {node: [] for node in nodes}
    for server_round in range(1, int(context.run_config["num-rounds"]) + 1):
        content = RecordDict({"round": ConfigRecord({"round": server_round})})
        messages = [
            Message(content, node, MessageType.EVALUATE, group_id=str(server_round))
            for node in nodes
        ]
        for reply in grid.send_and_receive(messages):
            node, report = reply.metadata.src_node_id, reply.content.config_records["report"]
            n_val = cast("list[int]", report["n_val"])
            print(f"round {server_round} node {node} n_val {n_val}")  # noqa: T201
            if n_val[:-1] != held[node] or report["run"] != str(context.run_id):
                raise RuntimeError(f"node {node} held {held[node]}, and now {report}")
            held[node] = n_val
    if any(len(n_val) != server_round for n_val in held.values()):
        raise RuntimeError(f"after {server_round} rounds the nodes hold {held}")


def _nodes(grid: Grid, count: int) -> list[int]:
    deadline = time.monotonic() + 60
    while len(nodes := list(grid.get_node_ids())) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(nodes)} of {count} nodes are connected after 60 seconds")
        time.sleep(0.2)
    return nodes
