"""The ServerApp: makes every node take the same steps, and writes what they came to."""

import json
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

NODES = 2
# Message type and round; a step that fails is of the round that will be made good.
STEPS = [
    *[("train", 1), ("train.spoil", 2), ("train.refuse", 2), ("evaluate", 1)],
    *[("train", 2), ("evaluate", 2)],
]

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Take all steps."""
    while len(nodes := sorted(grid.get_node_ids())) < NODES:
        time.sleep(0.1)
    steps = []
    for message_type, server_round in STEPS:
        content = RecordDict({"config": ConfigRecord({"server-round": server_round})})
        messages = [
            Message(content, dst_node_id=node, message_type=message_type) for node in nodes
        ]
        replies = grid.send_and_receive(messages)
        ordered = sorted(replies, key=lambda reply: reply.metadata.src_node_id)
        steps.append([_plain(reply) for reply in ordered])
    file = Path(str(context.run_config["result"]))
    file.with_suffix(".part").write_text(json.dumps(steps))
    file.with_suffix(".part").rename(file)


def _plain(reply: Message) -> dict[str, object]:
    if reply.has_error():
        return {"error": reply.error.reason}
    return {name: dict(record) for name, record in reply.content.items()}
