"""Every example of Flower's guide runs on the federation and prints what the guide says."""

import ast
import importlib.util
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedstate.local.federation import Federation
from fedstate.local.runs import submit, wait_for_runs
from tests.stack.conftest import ROOT

ROUNDS = 3
RUN_SECONDS = 280.0
GUIDE, NUMPYCLIENT = ROOT / "examples" / "guide", ROOT / "examples" / "guide-numpyclient"


def printed(federation: Federation, app: Path, **config: Any) -> list[list[str]]:
    """Run an example; return for each node the lines that it printed, one per round."""
    logs = [node.executor.log_file for node in federation.nodes]
    before = [log.stat().st_size for log in logs]
    run = submit(federation, app, {"num-rounds": ROUNDS, **config})
    statuses = wait_for_runs(federation, [run], RUN_SECONDS)
    assert statuses == {run: "finished:completed"}
    texts = [log.read_bytes()[at:].decode() for log, at in zip(logs, before, strict=True)]
    lines = [re.findall(r"^(?:\w+=|Progress).*$", text, re.MULTILINE) for text in texts]
    assert [len(of_node) for of_node in lines] == [ROUNDS] * len(logs), texts
    return lines


def test_by_design_a_client_app_is_stateless(federation: Federation) -> None:
    for lines in printed(federation, GUIDE, example="stateless"):
        assert all(re.fullmatch(r"n_val=\[\d+\]", line) for line in lines), lines


def test_a_numpy_client_is_stateless_too(federation: Federation) -> None:
    for lines in printed(federation, NUMPYCLIENT, stateful=False):
        assert all(re.fullmatch(r"n_val=\[\d+\]", line) for line in lines), lines


@pytest.mark.parametrize(
    ("app", "config"),
    [(GUIDE, {"example": "n_val"}), (NUMPYCLIENT, {"stateful": True})],
    ids=["message", "numpyclient"],
)
def test_n_val_gets_one_more_number_with_each_round(
    federation: Federation, app: Path, config: dict[str, Any]
) -> None:
    for lines in printed(federation, app, **config):
        assert lines[0] == "configs_records={'eval_metrics': {}}"
        numbers = [_literal(line)["eval_metrics"].get("n_val", []) for line in lines]
        assert [len(of_round) for of_round in numbers] == [0, 1, 2]
        assert numbers[2][:1] == numbers[1]


@pytest.mark.parametrize("example", ["numpy_arrays", "torch_model", "keras_model"])
def test_what_is_loaded_is_what_was_saved(federation: Federation, example: str) -> None:
    if example == "torch_model" and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is optional: pip install torch")
    first = [_one_line_of_each(lines) for lines in printed(federation, GUIDE, example=example)]
    assert len(set(first)) == len(first), "each client keeps its own"


def test_a_part_of_the_model_stays_with_the_client(federation: Federation) -> None:
    for lines in printed(federation, GUIDE, example="part_of_model"):
        bodies, heads = zip(*(re.split(r" head=", line) for line in lines), strict=True)
        assert len(set(bodies)) == ROUNDS, "the body is another each time"
        values = [np.array(ast.literal_eval(head)) for head in heads]
        for before, after in pairwise(values):
            np.testing.assert_allclose(after, before + 1, rtol=1e-6)


def test_arbitrary_objects_persist(federation: Federation) -> None:
    for lines in printed(federation, GUIDE, example="objects"):
        assert [line.split(" {'moments'")[0] for line in lines] == [
            "Progress(best_loss=1.0, labels_seen=set())",
            "Progress(best_loss=0.5, labels_seen={0})",
            "Progress(best_loss=0.25, labels_seen={0, 1})",
        ]
        assert lines[2].endswith(
            "{'moments': (array([2., 2.]), b''), 'steps': [{'round': 1}, {'round': 2}]}"
        )


def _literal(line: str) -> Any:
    return ast.literal_eval(line.partition("=")[2])


def _one_line_of_each(lines: Sequence[str]) -> str:
    assert len(set(lines)) == 1, "every round prints the same values"
    return lines[0]
