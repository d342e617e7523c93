"""A ServerApp that asks every node once."""

import time
from pathlib import Path

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from .sleep import sleep

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Sleep, if it is to, and have each node make a step."""
    sleep(context, "server")
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.1)
    messages = [Message(RecordDict(), node, "train") for node in nodes]
    if context.run_config["crashes"]:
        list(grid.push_messages(messages))
        while not Path(str(context.run_config["started"])).exists():
            time.sleep(0.1)
        raise RuntimeError("failed as configured")
    replies = list(grid.send_and_receive(messages))
    if any(reply.has_error() for reply in replies):
        raise RuntimeError("a step has failed")
