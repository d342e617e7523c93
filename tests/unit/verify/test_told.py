"""Records of ServerApps, of today and of earlier releases; whatever is damaged is named."""

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from fedstate.errors import EvidenceError
from fedstate.records import OLD_SCHEMA, SCHEMA, old_record_file, record_file
from fedstate.verify import told
from fedstate.verify.beside import contradictions
from fedstate.verify.evidence import Evidence, RunEvidence
from fedstate.verify.table import to_table
from fedstate.verify.told import read_told
from fedstate.verify.verifier import Verifier

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


def _with_holes(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(told.MAXIMUM_BYTES + 1)


TRAPS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a pipe": (os.mkfifo, "no regular file"),
    "a directory": (Path.mkdir, "no regular file"),
    "a link": (lambda file: file.symlink_to("/etc/passwd"), "it is a link"),
    "a link to itself": (lambda file: file.symlink_to(file.name), "it is a link"),
    "a file with holes": (_with_holes, "is the most"),
    "deep": (lambda file: file.write_text("[" * 200_000 + "\n"), "it is not JSON"),
    "no text": (lambda file: file.write_bytes(b"\xff\xfe\n"), "it is not JSON"),
}


@pytest.mark.parametrize("name", TRAPS)
@pytest.mark.parametrize("place", [record_file, old_record_file])
@pytest.mark.timeout(30)
def test_whoever_reads_a_record_falls_into_no_trap(
    tmp_path: Path, name: str, place: Callable[[Path, int], Path]
) -> None:
    """The ServerApp writes it, in a directory of its own: it may leave there what it likes."""
    make, sentence = TRAPS[name]
    file = place(tmp_path, 7)
    file.parent.mkdir(parents=True, exist_ok=True)
    make(file)
    with pytest.raises(EvidenceError, match=sentence):
        read_told(tmp_path, 7)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 10**400, 1e308, float("nan")])
    | st.sampled_from(["", "7", "11", "\x1b[2J", "[/red]", "\ud800", "9" * 5000]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
# Where something else may stand than what belongs there.
PLACES: list[tuple[Any, ...]] = [
    *((0, name) for name in HEAD),
    *((1, "reply", name) for name in REPLIES[0]),
    *((1, "reply", "commit", name) for name in ENTRY),
    (2, "reply", "error"),
    *((3, "node", name) for name in (*NODES[0], "histories")),
    (3, "node", "histories", "loss"),
    (3, "node", "histories", "[/bold] \x1b[31m"),
    *((3, "node", "entries", 0, name) for name in ENTRY),
    *((4, "node", name) for name in NODES[1]),
]


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.sampled_from(PLACES), value=ANYTHING)
def test_whatever_stands_in_a_record_is_told_or_refused(
    tmp_path: Path, place: tuple[Any, ...], value: Any
) -> None:
    """No value of any type, in any place, makes `fedstate verify` fail."""
    written = json.loads(json.dumps(lines()))
    inner = written
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    write(tmp_path, *written)
    run = RunEvidence(7, 7, "finished:completed", witnessed=False)
    try:
        run.told = read_told(tmp_path, 7)
    except EvidenceError as error:
        run.told_problem = str(error)
    assert len(run.told_problem) < 1000
    list(contradictions(replace(run, witnessed=True)))
    verifier = Verifier()
    verifier.add(Evidence([run]))
    report = verifier.finish()
    json.dumps(report.to_json())
    console = Console(width=80, file=io.StringIO())
    console.print(to_table(report))
    assert "\x1b" not in console.file.getvalue()  # type: ignore[attr-defined]
