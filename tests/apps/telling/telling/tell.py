"""Giving away what a process knows of its task."""

import gc
import json
import time
from pathlib import Path

from flwr.app import Context

from fedstate.flower.task_order import TaskOrder

SECONDS = 600.0


def tell(context: Context, who: str) -> None:
    """Write down the token of this process, and wait until the attackers need it no longer."""
    (order,) = (each for each in gc.get_objects() if isinstance(each, TaskOrder))
    directory = Path(str(context.run_config["told"]))
    told = {"token": order.token, "task": order.task_id, "node": context.node_id}
    file = directory / f"{who}.json"
    file.with_suffix(".writing").write_text(json.dumps(told))
    file.with_suffix(".writing").rename(file)
    until = time.monotonic() + SECONDS
    while not (directory / "end").exists() and time.monotonic() < until:
        time.sleep(0.2)
