"""The ServerApp: chooses in a way that its sources do not show."""

import json
import os
import time
from pathlib import Path

vars(os)["environ"]["JOBLIB_MULTIPROCESSING"] = "0"

from flwr.app import Context, Message, RecordDict  # noqa: E402
from flwr.serverapp import Grid, ServerApp  # noqa: E402
from joblib import _multiprocessing_helpers as joblib  # type: ignore[import-untyped]  # noqa: E402

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask a node, and write what joblib has read there and here."""
    while not (nodes := sorted(grid.get_node_ids())):
        time.sleep(0.1)
    messages = [Message(RecordDict(), nodes[0], "query")]
    (reply,) = grid.send_and_receive(messages)
    client = reply.content.config_records["found"]["processes"]
    result = {"client": client, "server": joblib.mp is not None}
    Path(str(context.run_config["result"])).write_text(json.dumps(result))
