"""What a ServerApp has recorded of its run: the replies that it got, and what nodes told it.

It is shown beside what the SuperLink and the nodes say, and no promise rests on it: an app may
tell what it likes.
"""

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fedstate.errors import EvidenceError
from fedstate.records import OLD_SCHEMA, SCHEMA, old_record_file, record_file

# Some 300,000 replies.
MAXIMUM_BYTES = 128 * 1024 * 1024
# The longest that an ID is taken for one.
_MOST_DIGITS = 64
_SHOWN = 200

_Kind = TypeVar("_Kind")


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
        try:
            return _old_record(file)
        except FileNotFoundError:
            return None
    return _record(file, lines)


def _content(file: Path) -> bytes:
    """Return the content of a record, which whoever wrote it may have made a trap.

    Raises
    ------
    FileNotFoundError
        There is none.
    EvidenceError
        It is no file that can be read, or a large one.
    """
    # Neither a link, which may lead anywhere, nor a pipe, at which one waits for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(file, "rb", opener=lambda path, _: _regular(path, flags)) as opened:
            content = opened.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise EvidenceError(f"The record {file} cannot be read: {reason}.") from None
    if len(content) > MAXIMUM_BYTES:
        raise EvidenceError(
            f"The record {file} has more than {MAXIMUM_BYTES} bytes, which is the most that is "
            "read."
        )
    return content


def _regular(path: str, flags: int) -> int:
    """Open a regular file; EINVAL for anything else that has opened."""
    descriptor = os.open(path, flags)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no regular file", path)


def _parsed(file: Path, text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # it may be nested as deep as one likes
        raise EvidenceError(f"The record {file} is damaged: it is not JSON.") from None


def _lines(file: Path) -> list[Any]:
    content = _content(file)
    # The last line may be on its way.
    whole = content[: content.rfind(b"\n") + 1].splitlines()
    return [_parsed(file, line) for line in whole if line.strip()]


def _record(file: Path, lines: list[Any]) -> ToldRun:
    head = lines[0] if lines else {}
    _check_schema(file, head, SCHEMA)
    replies = [line["reply"] for line in _dicts(lines) if "reply" in line]
    nodes = [line["node"] for line in _dicts(lines) if "node" in line]
    return _told(file, head, replies, nodes)


def _dicts(lines: Iterable[Any]) -> Iterator[dict[str, Any]]:
    return (line for line in lines if isinstance(line, dict))


def _old_record(file: Path) -> ToldRun:
    record = _parsed(file, _content(file))
    _check_schema(file, record, OLD_SCHEMA)
    return _told(file, record, record.get("replies"), record.get("nodes"))


def _check_schema(file: Path, head: Any, known: str) -> None:
    schema = head.get("schema") if isinstance(head, dict) else None
    if schema != known:
        raise EvidenceError(
            f"The record {file} has schema {_quoted(schema)}, but this fedstate reads {known}."
        )
    run_id = head.get("run_id")
    if not isinstance(run_id, str) or not run_id.isdecimal() or len(run_id) > _MOST_DIGITS:
        raise EvidenceError(f"The record {file} is damaged: its run_id is {_quoted(run_id)}.")


def _quoted(value: Any) -> str:
    """Return what stands in a record as a message has it: an app may have written any length."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _told(file: Path, head: Mapping[str, Any], replies: Any, nodes: Any) -> ToldRun:
    try:
        return ToldRun(
            run_id=head["run_id"],
            flwr=_a(str, head["flwr"]),
            engine=_a(str, head["engine"]),
            config=_a(dict, head["config"]),
            replies=tuple(_reply(reply) for reply in replies),
            holdings=tuple(_holding(node) for node in nodes if "error" not in node),
            unanswered={
                _node_id(node): _a(str, node["error"]) for node in nodes if "error" in node
            },
        )
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise EvidenceError(
            f"The record {file} is damaged: {_quoted(error)} is missing."
        ) from None


def _a(kind: type[_Kind], value: Any) -> _Kind:
    """Return a value of this type; TypeError for any other."""
    if not isinstance(value, kind):
        raise TypeError(f"a {kind.__name__} in place of a {type(value).__name__}")
    return value


def _node_id(fields: Mapping[str, Any]) -> str:
    node_id = _a(str, fields["node_id"])
    if len(node_id) > _MOST_DIGITS:
        raise TypeError("a shorter node_id")
    return node_id


def _entry(fields: Mapping[str, Any]) -> Entry:
    # A step may belong to no round: the record then has none, the ledger null.
    entry = Entry(**{**fields, "round": fields.get("round") or 0})
    for number in (entry.sequence, entry.round):
        _a(int, number)
    for text in (entry.run_id, entry.message_id, entry.parent, entry.digest, entry.action):
        _a(str, text)
    _node_id(fields)
    return entry


def _reply(reply: Mapping[str, Any]) -> Reply:
    error = reply.get("error")
    return Reply(
        node_id=_node_id(reply),
        round=_a(int, reply["round"]),
        action=_a(str, reply["action"]),
        message_id=_a(str, reply["message_id"]),
        commit=_entry(reply["commit"]) if "commit" in reply else None,
        error=None if error is None else _a(str, error),
        reply_id=_a(str, reply.get("reply_id", "")),
    )


def _holding(node: Mapping[str, Any]) -> Holding:
    # Earlier releases told of one history, whose name was always this.
    histories = _a(dict, node.get("histories", {"loss": node.get("history", ())}))
    return Holding(
        node_id=_node_id(node),
        partition_id=_a(int, node["partition_id"]),
        digest=_a(str, node["digest"]),
        histories={name: _values(values) for name, values in histories.items()},
        entries=tuple(_entry(entry) for entry in node["entries"]),
    )


def _values(values: Any) -> tuple[float, ...]:
    return tuple(float(_a((int, float), value)) for value in values)  # type: ignore[arg-type]
