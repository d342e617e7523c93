"""What was recorded of a run: what each reply reported, and what each node held at the end."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedstate.errors import EvidenceError
from fedstate.records import SCHEMA


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
    """What the server knows of one message to a node: the entry reported, or why none was."""

    node_id: str
    round: int
    action: str
    message_id: str
    commit: Entry | None
    error: str | None


@dataclass(frozen=True)
class Holding:
    """What a node held for the run when it was asked.

    Attributes
    ----------
    digest : str
        Computed from the stored content at that moment, not read from the ledger.
    history : tuple of float
        The loss of each step.
    """

    node_id: str
    partition_id: int
    digest: str
    history: tuple[float, ...]
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class RunEvidence:
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


def read_runs(directory: Path, run_ids: list[str] | None = None) -> list[RunEvidence]:
    """Read the records of runs, oldest first.

    Parameters
    ----------
    directory : Path
        Where ``RecordingGrid`` wrote them.
    run_ids : list of str, optional
        Which runs; without it, all.

    Raises
    ------
    EvidenceError
        If a run left no record, a record is damaged, or there is none at all.
    """
    if run_ids:
        files = [directory / f"{run_id}.json" for run_id in run_ids]
    else:
        files = sorted(directory.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    if not files:
        raise EvidenceError(
            f"{directory} holds no record of any run; start one with `flwr run`, "
            "or name the directory with --runs."
        )
    return [_read(file) for file in files]


def _read(file: Path) -> RunEvidence:
    try:
        record = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise EvidenceError(
            f"Run {file.stem} left no record in {file.parent}; check its number, and that its "
            "ServerApp uses fedstate.grids.RecordingGrid."
        ) from None
    except ValueError:
        raise EvidenceError(f"The record {file} is damaged: it is not JSON.") from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise EvidenceError(
            f"The record {file} has schema {schema!r}, but this fedstate reads {SCHEMA}."
        )
    run_id = record.get("run_id")
    if not isinstance(run_id, str) or not run_id.isdecimal():
        raise EvidenceError(f"The record {file} is damaged: its run_id is {run_id!r}.")
    try:
        return RunEvidence(
            run_id=run_id,
            flwr=record["flwr"],
            engine=record["engine"],
            config=record["config"],
            replies=tuple(_reply(reply) for reply in record["replies"]),
            holdings=tuple(_holding(node) for node in record["nodes"] if "error" not in node),
            unanswered={
                node["node_id"]: node["error"] for node in record["nodes"] if "error" in node
            },
        )
    except (KeyError, TypeError) as error:
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
    )


def _holding(node: Mapping[str, Any]) -> Holding:
    return Holding(
        node_id=node["node_id"],
        partition_id=node["partition_id"],
        digest=node["digest"],
        history=tuple(node["history"]),
        entries=tuple(_entry(entry) for entry in node["entries"]),
    )
