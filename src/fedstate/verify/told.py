"""What a ServerApp has recorded of its run: the replies that it got, and what nodes told it.

It is shown beside what the SuperLink and the nodes say, and no promise rests on it: an app may
tell what it likes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedstate.errors import EvidenceError
from fedstate.records import OLD_SCHEMA, SCHEMA, old_record_file, record_file


@dataclass(frozen=True)
class Entry:
    """One entry of a client's ledger: a step that loaded ``parent`` and saved ``digest``."""

    sequence: int
    run_id: str
    node_id: str
    round: int
    message_id: str
    parent: str
    digest: str
    action: str = "train"

    @property
    def is_training(self) -> bool:
        """Whether the step was one of training."""
        return self.action.startswith("train")


@dataclass(frozen=True)
class Reply:
    """One message to a node: the ledger entry that the reply reported, or why there is none."""

    node_id: str
    round: int
    action: str
    message_id: str
    commit: Entry | None = None
    error: str | None = None
    reply_id: str = ""


@dataclass(frozen=True)
class Holding:
    """What an app said that it holds, when its ServerApp asked it.

    Attributes
    ----------
    digest : str
        Of the content, as the app computed it.
    histories : mapping of str to tuple of float
        The values of each history, by the name that the app chose.
    """

    node_id: str
    partition_id: int
    digest: str
    histories: Mapping[str, tuple[float, ...]]
    entries: tuple[Entry, ...]

    @property
    def losses(self) -> tuple[float, ...]:
        """The values of the history that is called "loss"; none if there is no such history."""
        return self.histories.get("loss", ())


@dataclass(frozen=True)
class ToldRun:
    """All that was recorded of one run; ``unanswered`` has the nodes that could not be asked."""

    run_id: str
    flwr: str
    engine: str
    config: Mapping[str, Any]
    replies: tuple[Reply, ...]
    holdings: tuple[Holding, ...]
    unanswered: Mapping[str, str]

    @property
    def steps(self) -> tuple[Reply, ...]:
        """The training messages, one for each round in which a node was sampled."""
        return tuple(reply for reply in self.replies if reply.action.startswith("train"))

    @property
    def rounds(self) -> int:
        """How many rounds of training there were."""
        return len({step.round for step in self.steps})

    def holding(self, node_id: str) -> Holding | None:
        """Return what a node's app said that it holds, or None."""
        return next((each for each in self.holdings if each.node_id == node_id), None)


def read_told(directory: Path, run_id: int) -> ToldRun | None:
    """Read the record of a run, in today's form or that of earlier releases.

    Parameters
    ----------
    directory : Path
        Where ServerApps leave the records of their runs.
    run_id : int
        The run.

    Returns
    -------
    ToldRun or None
        None if its ServerApp has left none.

    Raises
    ------
    EvidenceError
        The record is damaged.
    """
    file = record_file(directory, run_id)
    try:
        lines = _lines(file)
    except FileNotFoundError:
        file = old_record_file(directory, run_id)
        if not file.exists():
            return None
        return _old_record(file)
    return _record(file, lines)


def _lines(file: Path) -> list[Any]:
    content = file.read_bytes()
    # The last line may be on its way.
    whole = content[: content.rfind(b"\n") + 1].splitlines()
    try:
        return [json.loads(line) for line in whole if line.strip()]
    except ValueError:
        raise EvidenceError(f"The record {file} is damaged: it is not JSON.") from None


def _record(file: Path, lines: list[Any]) -> ToldRun:
    head = lines[0] if lines else {}
    _check_schema(file, head, SCHEMA)
    replies = [line["reply"] for line in _dicts(lines) if "reply" in line]
    nodes = [line["node"] for line in _dicts(lines) if "node" in line]
    return _told(file, head, replies, nodes)


def _dicts(lines: Iterable[Any]) -> Iterator[dict[str, Any]]:
    return (line for line in lines if isinstance(line, dict))


def _old_record(file: Path) -> ToldRun:
    try:
        record = json.loads(file.read_bytes())
    except ValueError:
        raise EvidenceError(f"The record {file} is damaged: it is not JSON.") from None
    _check_schema(file, record, OLD_SCHEMA)
    return _told(file, record, record.get("replies"), record.get("nodes"))


def _check_schema(file: Path, head: Any, known: str) -> None:
    schema = head.get("schema") if isinstance(head, dict) else None
    if schema != known:
        raise EvidenceError(
            f"The record {file} has schema {schema!r}, but this fedstate reads {known}."
        )
    run_id = head.get("run_id")
    if not isinstance(run_id, str) or not run_id.isdecimal():
        raise EvidenceError(f"The record {file} is damaged: its run_id is {run_id!r}.")


def _told(file: Path, head: Mapping[str, Any], replies: Any, nodes: Any) -> ToldRun:
    try:
        return ToldRun(
            run_id=head["run_id"],
            flwr=head["flwr"],
            engine=head["engine"],
            config=head["config"],
            replies=tuple(_reply(reply) for reply in replies),
            holdings=tuple(_holding(node) for node in nodes if "error" not in node),
            unanswered={node["node_id"]: node["error"] for node in nodes if "error" in node},
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise EvidenceError(f"The record {file} is damaged: {error!r} is missing.") from None


def _entry(fields: Mapping[str, Any]) -> Entry:
    # A step may belong to no round: the record then has none, the ledger null.
    return Entry(**{**fields, "round": fields.get("round") or 0})


def _reply(reply: Mapping[str, Any]) -> Reply:
    return Reply(
        node_id=reply["node_id"],
        round=reply["round"],
        action=reply["action"],
        message_id=reply["message_id"],
        commit=_entry(reply["commit"]) if "commit" in reply else None,
        error=reply.get("error"),
        reply_id=reply.get("reply_id", ""),
    )


def _holding(node: Mapping[str, Any]) -> Holding:
    return Holding(
        node_id=node["node_id"],
        partition_id=node["partition_id"],
        digest=node["digest"],
        # Earlier releases told of one, whose name was always this.
        histories={
            name: tuple(values)
            for name, values in node.get("histories", {"loss": node.get("history", ())}).items()
        },
        entries=tuple(_entry(entry) for entry in node["entries"]),
    )
