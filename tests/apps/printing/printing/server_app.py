"""A ServerApp that prints its name in each round."""

import time

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Have each node make a step in each round."""
    while len(nodes := list(grid.get_node_ids())) < 2:
        time.sleep(0.1)
    for number in range(1, int(str(context.run_config["rounds"])) + 1):
        print(f"served {context.run_config['name']} {number}")  # noqa: T201
        messages = [Message(RecordDict(), node, "train", group_id=str(number)) for node in nodes]
        replies = list(grid.send_and_receive(messages))
        if any(reply.has_error() for reply in replies):
            raise RuntimeError("a step has failed")
