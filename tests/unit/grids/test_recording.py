"""The record of a run: every reply, in a fixed order, and what the nodes hold at the end."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict

from fedstate.grids import GridWrapper, RecordingGrid
from fedstate.grids.recording import AUDIT_QUERY
from fedstate.records import RECORD_MODE, record_file
from fedstate.state import AUDIT_RECORD, COMMIT_RECORD
from fedstate.verify.told import ToldRun, read_told
from tests.identity import be_task

COMMIT: dict[str, Any] = {
    "sequence": 1, "run_id": "7", "node_id": "1", "round": 3, "action": "train",
    "message_id": "m", "parent": "", "digest": "ab",
}  # fmt: skip


class Nodes(GridWrapper):
    """Two nodes: the first replies and is asked what it holds, the second fails both times."""

    def __init__(self) -> None:
        pass

    @property
    def innermost(self) -> "Nodes":
        return self

    def get_node_ids(self) -> Iterable[int]:
        return (2, 1)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        del timeout  # everybody answers at once
        return [self._reply(message) for message in reversed(list(messages))]

    def _reply(self, message: Message) -> Message:
        # What flwr's Grid does when it sends a message.
        names = {"_src_node_id": 9, "_message_id": f"to {message.metadata.dst_node_id}"}
        message.metadata.__dict__.update(names)
        if message.metadata.dst_node_id == 2:
            return Message(Error(0, "out of memory"), reply_to=message)
        if message.metadata.message_type == AUDIT_QUERY:
            record = ConfigRecord(
                {
                    "partition-id": 0,
                    "digest": "ab",
                    "histories": json.dumps({"loss": [0.5]}),
                    "entries": json.dumps([COMMIT]),
                }
            )
            return Message(RecordDict({AUDIT_RECORD: record}), reply_to=message)
        return Message(RecordDict({COMMIT_RECORD: ConfigRecord(dict(COMMIT))}), reply_to=message)


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordingGrid:
    monkeypatch.setenv("FEDSTATE_RUNS", str(tmp_path))
    be_task(monkeypatch, run_id=7, node_id=9)
    return RecordingGrid(Nodes(), Context(7, 9, {}, RecordDict(), {"seed": 1}))


def asked(*node_ids: int) -> list[Message]:
    config = RecordDict({"config": ConfigRecord({"server-round": 3})})
    return [Message(config, dst_node_id=node_id, message_type="train") for node_id in node_ids]


def replied(grid: Any) -> list[int]:
    return [reply.metadata.src_node_id for reply in grid.send_and_receive(asked(1, 2))]


def test_nodes_and_replies_come_in_a_fixed_order(grid: RecordingGrid) -> None:
    assert list(grid.get_node_ids()) == [1, 2]
    assert replied(grid) == [1, 2]


def read(directory: Path) -> ToldRun:
    run = read_told(directory, 7)
    assert run is not None
    return run


def test_the_record_can_be_read_after_every_round(grid: RecordingGrid, tmp_path: Path) -> None:
    assert read(tmp_path).config == {"seed": 1}
    for rounds in (1, 2):
        grid.send_and_receive(asked(1, 2))
        run = read(tmp_path)
        assert len(run.replies) == 2 * rounds
    first, second = run.replies[:2]
    assert (first.node_id, first.round, first.error) == ("1", 3, None)
    assert first.commit is not None
    assert first.commit.digest == "ab"
    assert (second.node_id, second.commit, second.error) == ("2", None, "out of memory")


def test_the_audit_records_what_each_node_holds_and_who_did_not_say(
    grid: RecordingGrid, tmp_path: Path
) -> None:
    grid.send_and_receive(asked(1, 2))
    grid.audit()
    run = read(tmp_path)
    assert [(held.node_id, held.digest, held.histories) for held in run.holdings] == [
        ("1", "ab", {"loss": (0.5,)})
    ]
    assert run.unanswered == {"2": "out of memory"}


def test_a_round_adds_as_much_after_a_thousand_rounds_as_in_the_first(
    grid: RecordingGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)  # a thousand times
    written: list[int] = []
    size = record_file(tmp_path, 7).stat().st_size
    for _ in range(1000):
        grid.send_and_receive(asked(1, 2))
        now = record_file(tmp_path, 7).stat().st_size
        written.append(now - size)
        size = now
    assert set(written) == {written[0]}
    assert len(read(tmp_path).replies) == 2000


def test_a_record_is_readable_for_others_whatever_the_umask_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSTATE_RUNS", str(tmp_path))
    before = os.umask(0o077)
    try:
        RecordingGrid(Nodes(), Context(7, 9, {}, RecordDict(), {}))
    finally:
        os.umask(before)
    assert record_file(tmp_path, 7).stat().st_mode & 0o777 == RECORD_MODE


def test_a_second_grid_of_the_run_goes_on_with_its_record(
    grid: RecordingGrid, tmp_path: Path
) -> None:
    grid.send_and_receive(asked(1, 2))
    second = RecordingGrid(Nodes(), Context(7, 9, {}, RecordDict(), {"seed": 1}))
    second.send_and_receive(asked(1, 2))
    assert len(read(tmp_path).replies) == 4
