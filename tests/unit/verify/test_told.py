"""Records of ServerApps, of today and of earlier releases; whatever is damaged is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedstate.errors import EvidenceError
from fedstate.records import OLD_SCHEMA, SCHEMA, old_record_file, record_file
from fedstate.verify.told import read_told

HEAD: dict[str, Any] = {"flwr": "1.42.0", "engine": "processes", "run_id": "7", "config": {}}
ENTRY: dict[str, Any] = {
    "sequence": 1, "run_id": "7", "node_id": "11", "round": None, "action": "train",
    "message_id": "m", "parent": "", "digest": "ab",
}  # fmt: skip
REPLIES: list[dict[str, Any]] = [
    {"node_id": "11", "round": 1, "action": "train", "message_id": "m", "commit": ENTRY},
    {"node_id": "12", "round": 1, "action": "train", "message_id": "n", "error": "no reply"},
]
NODES: list[dict[str, Any]] = [
    {"node_id": "11", "partition_id": 0, "digest": "ab", "entries": [ENTRY]},
    {"node_id": "12", "error": "away"},
]
HISTORIES = {"histories": {"loss": [0.5], "accuracy": [0.1, 0.2]}}


def write(directory: Path, *lines: Any, end: str = "\n") -> Path:
    file = record_file(directory, 7)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(map(json.dumps, lines)) + end)
    return file


def lines() -> list[dict[str, Any]]:
    replies = [{"reply": reply} for reply in REPLIES]
    return [{"schema": SCHEMA, **HEAD}, *replies, *({"node": HISTORIES | node} for node in NODES)]


def test_a_record_of_today_and_one_of_earlier_releases_say_the_same(tmp_path: Path) -> None:
    write(tmp_path / "new", *lines())
    old_nodes = [{"history": [0.5]} | node for node in NODES]
    old = {"schema": OLD_SCHEMA, **HEAD, "replies": REPLIES, "nodes": old_nodes}
    (tmp_path / "old").mkdir()
    old_record_file(tmp_path / "old", 7).write_text(json.dumps(old))
    run = read_told(tmp_path / "new", 7)
    assert run is not None
    old_run = read_told(tmp_path / "old", 7)
    assert old_run is not None
    (before,) = old_run.holdings
    assert replace(run, holdings=(before,)) == old_run
    # Of one history they told, which had one name.
    assert run.holdings[0].histories == {"loss": (0.5,), "accuracy": (0.1, 0.2)}
    assert before.histories == {"loss": (0.5,)}
    assert (run.rounds, run.unanswered) == (1, {"12": "away"})
    assert run.holdings[0].entries[0].round == 0
    assert run.holding("11") == run.holdings[0]
    assert run.holding("12") is None


def test_a_run_without_a_record_has_none(tmp_path: Path) -> None:
    assert read_told(tmp_path, 7) is None


def test_a_line_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    written = lines()
    file = write(tmp_path, *written[:2])
    with file.open("a") as half:
        half.write(json.dumps(written[2])[:20])
    run = read_told(tmp_path, 7)
    assert run is not None
    assert len(run.replies) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "has schema None"),
        ("no JSON\n", "is damaged: it is not JSON"),
        ("[]\n", "has schema None"),
        (json.dumps({"schema": "fedstate.run/9"}) + "\n", "has schema 'fedstate.run/9'"),
        (json.dumps({"schema": SCHEMA, "run_id": "x"}) + "\n", "its run_id is 'x'"),
        (json.dumps({"schema": SCHEMA, "run_id": "7"}) + "\n", "KeyError('flwr')"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, content: str, sentence: str) -> None:
    file = write(tmp_path)
    file.write_text(content)
    with pytest.raises(EvidenceError, match=r"The record .*record\.jsonl") as error:
        read_told(tmp_path, 7)
    assert sentence in str(error.value)
