"""A ClientApp that prints its name and round, in every way that there is."""

import os
import sys
import time
import warnings
from logging import INFO
from pathlib import Path

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.logger import log

app = ClientApp()

print("imported")  # noqa: T201

FORGED = '{"time": "2026-01-01T00:00:00.000Z", "level": "INFO", "component": "x", "run": "1"}'


@app.train()
def train(message: Message, context: Context) -> Message:
    """Print, and answer with nothing."""
    config = context.run_config
    what = f"{config['name']} {message.metadata.group_id}"
    print(f"printed {what}")  # noqa: T201
    print(f"to standard error {what}", file=sys.stderr)  # noqa: T201
    log(INFO, "logged %s", what)
    warnings.warn(f"warned {what}", stacklevel=1)
    os.write(1, f"\x1b[2J\xff\nby a child {what}\r\n{FORGED}\n".encode("latin-1"))
    for _ in range(int(str(config["flood"])) * 1024):
        os.write(1, b"x" * 1023 + b"\n")
    if until := str(config["until"]):
        Path(f"{until}.{context.node_config['partition-id']}").touch()
        while not Path(until).exists():
            time.sleep(0.05)
    return Message(RecordDict(), reply_to=message)
