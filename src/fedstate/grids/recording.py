"""A Grid that records what each node reported, for ``fedstate verify``.

The record of a run is one JSON file, ``$FEDSTATE_RUNS/<run_id>.json``, replaced as a whole after
each round, so that it is readable while the run goes on and whole after a crash.
"""

import json
from collections.abc import Iterable
from typing import Any

import flwr
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid

from fedstate.files import PUBLIC, write_new
from fedstate.flower.engine import engine_of
from fedstate.grids.wrapper import GridWrapper
from fedstate.records import SCHEMA, runs_directory
from fedstate.state import AUDIT_RECORD, COMMIT_RECORD

AUDIT_QUERY = "query.audit"
AUDIT_SECONDS = 600.0


class RecordingGrid(GridWrapper):
    """Record every reply of a run; replies come back ordered by node.

    The fixed order matters beyond the record: averages are floating-point sums, and those depend
    on the order of what they add.

    Parameters
    ----------
    inner : Grid
        The ServerApp's Grid.
    context : Context
        The ServerApp's Context.
    """

    def __init__(self, inner: Grid, context: Context) -> None:
        super().__init__(inner)
        self._file = runs_directory() / f"{context.run_id}.json"
        self._record: dict[str, Any] = {
            "schema": SCHEMA,
            "flwr": flwr.__version__,
            "engine": engine_of(self.innermost),
            "run_id": str(context.run_id),
            "config": dict(context.run_config),
            "replies": [],
            "nodes": [],
        }
        self._write()

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the connected nodes, in ascending order."""
        return sorted(self.inner.get_node_ids())

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send messages, wait for their replies, and record both."""
        sent = list(messages)
        for message in sent:
            # The strategies put the round into the config; the SuperNode's log and a client's
            # ledger look for it here.
            message.metadata.group_id = message.metadata.group_id or _server_round(message)
        received = super().send_and_receive(sent, timeout=timeout)
        replies = sorted(received, key=lambda reply: reply.metadata.src_node_id)
        by_message = {reply.metadata.reply_to_message_id: reply for reply in replies}
        for message in sent:
            reply = by_message.get(message.metadata.message_id)
            self._record["replies"].append(_step(message, reply))
        self._write()
        return replies

    def audit(self) -> None:
        """Ask every node that took part what it holds for this run, and record the answers."""
        took_part = sorted({int(reply["node_id"]) for reply in self._record["replies"]})
        questions = [
            Message(RecordDict(), dst_node_id=node_id, message_type=AUDIT_QUERY)
            for node_id in took_part
        ]
        answers = super().send_and_receive(questions, timeout=AUDIT_SECONDS)
        for answer in sorted(answers, key=lambda answer: answer.metadata.src_node_id):
            self._record["nodes"].append(_holding(answer))
        self._write()

    def _write(self) -> None:
        write_new(self._file, json.dumps(self._record).encode(), PUBLIC)


def _step(message: Message, reply: Message | None) -> dict[str, Any]:
    step: dict[str, Any] = {
        "node_id": str(message.metadata.dst_node_id),
        "round": int(message.metadata.group_id or 0),
        "action": message.metadata.message_type,
        "message_id": message.metadata.message_id,
    }
    if reply is None:
        return step | {"error": "no reply"}
    if reply.has_error():
        return step | {"error": reply.error.reason}
    if COMMIT_RECORD in reply.content:
        step["commit"] = dict(reply.content.config_records[COMMIT_RECORD])
    return step


def _holding(answer: Message) -> dict[str, Any]:
    node_id = str(answer.metadata.src_node_id)
    if answer.has_error():
        return {"node_id": node_id, "error": answer.error.reason}
    audit: ConfigRecord = answer.content.config_records[AUDIT_RECORD]
    return {
        "node_id": node_id,
        "partition_id": audit["partition-id"],
        "digest": audit["digest"],
        "history": audit["history"],
        "entries": json.loads(str(audit["entries"])),
    }


def _server_round(message: Message) -> str:
    for config in message.content.config_records.values():
        if "server-round" in config:
            return str(config["server-round"])
    return ""
