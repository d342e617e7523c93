"""The ServerApp: writes down what is around it, and around each ClientApp."""

import json
import time
from pathlib import Path

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from .around import look

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask every node once."""
    while len(nodes := list(grid.get_node_ids())) < int(context.run_config["nodes"]):
        time.sleep(0.1)
    replies = grid.send_and_receive([Message(RecordDict(), node, "query") for node in nodes])
    seen = [reply.content.config_records["seen"]["json"] for reply in replies]
    looked = {"server": look(), "clients": [json.loads(str(each)) for each in seen]}
    Path("looked.json").write_text(json.dumps(looked))
