"""The ServerApps of README and guide run as they stand there, on the README's own ClientApp."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from fedstate import grids
from fedstate.grids import GridWrapper
from fedstate.verify.beside import ledger_problems
from fedstate.verify.told import read_told
from tests.docs.test_client_state import ROOT, python_blocks, run
from tests.identity import be_task
from tests.unit.state.steps import sent

RUN_ID = 7


class InProcess(GridWrapper):
    """Two clients that keep their Context, as two nodes of a federation do."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self._contexts = {
            node_id: Context(RUN_ID, node_id, {"partition-id": node_id}, RecordDict(), {})
            for node_id in (1, 2)
        }
        self._sent = 0

    @property
    def innermost(self) -> "InProcess":
        return self

    def get_node_ids(self) -> Iterable[int]:
        return self._contexts

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        self._replies = [self._answer(message) for message in messages]
        return [reply.metadata.reply_to_message_id for reply in self._replies]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return [
            reply
            for reply in self._replies
            if reply.metadata.reply_to_message_id in set(message_ids)
        ]

    def _answer(self, message: Message) -> Message:
        # What flwr's Grid does when it sends a message.
        self._sent += 1
        names = {"_run_id": RUN_ID, "_src_node_id": 9, "_message_id": f"m{self._sent}"}
        message.metadata.__dict__.update(names)
        node_id = message.metadata.dst_node_id
        context = self._contexts[node_id] = sent(self._contexts[node_id])
        self._names["images"] = np.full((5, 3), node_id, np.float32)
        reply: Message = self._names["app"](message, context)
        return reply


@pytest.mark.parametrize(("page", "block"), [("README.md", 1), ("docs/server-apps.md", 0)])
def test_the_example_runs_and_its_record_is_sound(
    page: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras = pytest.importorskip("keras")
    monkeypatch.setenv("FEDSTATE_RUNS", str(tmp_path))
    be_task(monkeypatch, run_id=RUN_ID, node_id=9)

    def make_model() -> Any:
        layers = [keras.layers.Dense(2, name="body"), keras.layers.Dense(1, name="head")]
        model = keras.Sequential([keras.Input((3,)), *layers])
        model.compile("sgd", "mse")
        return model

    labels = np.ones((5, 1), np.float32)
    client: dict[str, Any] = {"make_model": make_model, "labels": labels}
    run(python_blocks("README.md")[0], "README.md", client)
    server: dict[str, Any] = {"make_model": make_model}
    run(python_blocks(page)[block], page, server)
    server["app"](InProcess(client), Context(RUN_ID, 9, {}, RecordDict(), {}))
    record = read_told(tmp_path, RUN_ID)
    assert record is not None
    assert {holding.node_id for holding in record.holdings} == {"1", "2"}
    assert list(ledger_problems(record)) == []


def test_the_page_names_everything_public() -> None:
    page = (ROOT / "docs" / "server-apps.md").read_text()
    for name in grids.__all__:
        assert name == "OnLostNode" or name in page
