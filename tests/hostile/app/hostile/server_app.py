"""The ServerApp: makes its own probes, then has nodes make theirs, and prints the reports."""

import json
import time

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from .attacks import PROBES
from .registry import Hints, run_probes

app = ServerApp()
TIMEOUT_SECONDS = 45.0
NO_REPLY = "no reply"


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Print ``PROBE`` and ``BOMB`` lines for the test."""
    config = context.run_config
    given = json.loads(str(config["hints"]))
    while not (nodes := sorted(grid.get_node_ids())):
        time.sleep(0.1)
    node = int(str(config["node"]) or nodes[0])
    if config["probes"]:
        names = [name for name, each in PROBES.items() if "server" in each.sides]
        for report in run_probes(Hints(**given["server"]), names):
            print("PROBE", json.dumps(report), flush=True)  # noqa: T201
        for line in _ask(grid, node, "query.probes", {"hints": json.dumps(given["client"])}):
            print("PROBE", line, flush=True)  # noqa: T201
    for name in filter(None, str(config["bombs"]).split(",")):
        content: dict[str, str] = {"hints": json.dumps(given["client"]), "bomb": name}
        began = time.monotonic()
        lines = _ask(grid, node, "query.bomb", content)
        seconds = round(time.monotonic() - began, 1)
        print("BOMB", json.dumps([name, lines, seconds]), flush=True)  # noqa: T201
        if lines == [NO_REPLY]:
            return


def _ask(grid: Grid, node: int, kind: str, content: dict[str, str]) -> list[str]:
    message = Message(RecordDict({"ask": ConfigRecord(dict(content))}), node, kind)
    replies = list(grid.send_and_receive([message], timeout=TIMEOUT_SECONDS))
    if not replies:
        return [NO_REPLY]
    if replies[0].has_error():
        return [f"error: {replies[0].error.reason}"]
    return [str(each) for each in replies[0].content.config_records["answer"]["lines"]]  # type: ignore[union-attr]
