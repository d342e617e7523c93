"""A Grid that records what each node reported, for a reader of ``fedstate verify``.

The record of a run is a file of JSON lines, ``$FEDSTATE_RUNS/RUN/record.jsonl``, to which each
exchange adds its replies: it can be read while the run goes on, after a crash it is whole but for
a last line, and a round costs the same however many there were before it.
"""

import json
import os
from collections.abc import Iterable
from typing import Any

import flwr
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid

from fedstate.flower.engine import engine_of
from fedstate.grids.wrapper import GridWrapper
from fedstate.records import (
    DIRECTORY_MODE,
    RECORD_MODE,
    SCHEMA,
    record_file,
    runs_directory,
)
from fedstate.state import AUDIT_RECORD, COMMIT_RECORD

AUDIT_QUERY = "query.audit"
AUDIT_SECONDS = 600.0


class RecordingGrid(GridWrapper):
    """Record every reply of a run; replies come back ordered by node.

    No check of ``fedstate verify`` needs the record: it adds what the app itself tells. The fixed
    order matters beyond the record: averages are floating-point sums, and those depend on the
    order of what they add.

    Parameters
    ----------
    inner : Grid
        The ServerApp's Grid.
    context : Context
        The ServerApp's Context.
    """

    def __init__(self, inner: Grid, context: Context) -> None:
        super().__init__(inner)
        self._file = record_file(runs_directory(), context.run_id)
        self._took_part: set[int] = set()
        head = {
            "schema": SCHEMA,
            "flwr": flwr.__version__,
            "engine": engine_of(self.innermost),
            "run_id": str(context.run_id),
            "config": dict(context.run_config),
        }
        self._file.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        # A second Grid of the same run goes on with the record of the first.
        if not self._file.exists():
            self._append([head])
            self._file.chmod(RECORD_MODE)  # whatever the umask is

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
        self._took_part |= {message.metadata.dst_node_id for message in sent}
        self._append(
            {"reply": _step(message, by_message.get(message.metadata.message_id))}
            for message in sent
        )
        return replies

    def audit(self) -> None:
        """Ask every node that took part what its app holds, and record the answers."""
        questions = [
            Message(RecordDict(), dst_node_id=node_id, message_type=AUDIT_QUERY)
            for node_id in sorted(self._took_part)
        ]
        answers = super().send_and_receive(questions, timeout=AUDIT_SECONDS)
        ordered = sorted(answers, key=lambda answer: answer.metadata.src_node_id)
        self._append({"node": _holding(answer)} for answer in ordered)

    def _append(self, lines: Iterable[dict[str, Any]]) -> None:
        """Add lines in one write, durable when this returns."""
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = os.open(self._file, flags, RECORD_MODE)
        with os.fdopen(descriptor, "ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _step(message: Message, reply: Message | None) -> dict[str, Any]:
    step: dict[str, Any] = {
        "node_id": str(message.metadata.dst_node_id),
        "round": int(message.metadata.group_id or 0),
        "action": message.metadata.message_type,
        "message_id": message.metadata.message_id,
    }
    if reply is None:
        return step | {"error": "no reply"}
    step["reply_id"] = reply.metadata.message_id
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
        "histories": json.loads(str(audit["histories"])),
        "entries": json.loads(str(audit["entries"])),
    }


def _server_round(message: Message) -> str:
    for config in message.content.config_records.values():
        if "server-round" in config:
            return str(config["server-round"])
    return ""
