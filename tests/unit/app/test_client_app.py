"""The ClientApp remembers its weights and losses, and says truthfully what it holds."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ArrayRecord, Context

from fedstate.state import COMMIT_RECORD, check_state, read_ledger
from keras_mnist.client_app import app
from keras_mnist.model import make_model
from tests.unit.state.steps import make_context, make_message, sent

APP = Path(__file__).parents[3] / "app"
PROJECT = tomllib.loads((APP / "pyproject.toml").read_text())
CONFIG: dict[str, Any] = PROJECT["tool"]["flwr"]["app"]["config"]


@pytest.fixture(scope="module")
def steps() -> tuple[Context, list[Any]]:
    """One node's run: two rounds of training, one evaluation, and the audit."""
    context = make_context()
    context.run_config, context.node_config = CONFIG, {"partition-id": 0, "num-partitions": 2}
    arrays = ArrayRecord(make_model(0.001, 0).get_weights())
    replies = []
    for server_round, kind in [(1, "train"), (2, "train"), (2, "evaluate"), (3, "query.audit")]:
        message = make_message(server_round, message_type=kind)
        message.content["arrays"] = arrays
        context = sent(context)
        replies.append(app(message, context))
    return context, replies


def test_each_training_step_is_committed_and_reported(steps: tuple[Context, list[Any]]) -> None:
    context, replies = steps
    entries = read_ledger(context.state)
    assert [(entry.sequence, entry.round, entry.action) for entry in entries] == [
        (1, 1, "train"),
        (2, 2, "train"),
    ]
    reported = [reply.content[COMMIT_RECORD]["digest"] for reply in replies[:2]]
    assert reported == [entry.digest for entry in entries]


def test_evaluating_remembers_the_nodes_own_weights(steps: tuple[Context, list[Any]]) -> None:
    _, replies = steps
    metrics = replies[2].content["metrics"]
    assert metrics["own-accuracy"] > metrics["accuracy"], "trained against untrained"
    assert COMMIT_RECORD not in replies[2].content


def test_the_audit_says_what_is_held(steps: tuple[Context, list[Any]]) -> None:
    context, replies = steps
    audit = replies[3].content["fedstate.audit"]
    newest = check_state(context.state)
    assert newest is not None
    assert audit["digest"] == newest.digest
    assert [entry["digest"] for entry in json.loads(audit["entries"])][-1] == newest.digest
    losses = [reply.content["metrics"]["loss"] for reply in replies[:2]]
    assert json.loads(audit["histories"])["loss"] == losses
    assert audit["partition-id"] == 0


def test_the_model_is_made_without_arguments_for_exports_of_weights() -> None:
    shapes = [weights.shape for weights in make_model().get_weights()]
    assert shapes == [weights.shape for weights in make_model(0.1, 7).get_weights()]
