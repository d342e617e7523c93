"""A ServerApp that has every node make a step."""

import time

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from .tell import tell

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Give the token away, while the nodes do."""
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.1)
    list(grid.push_messages([Message(RecordDict(), node, "train") for node in nodes]))
    tell(context, "server")
