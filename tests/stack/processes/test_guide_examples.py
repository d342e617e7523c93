"""Every example of Flower's guide runs on the federation and prints what the guide says."""

import ast
import importlib.util
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedstate import waiting
from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs
from fedstate.logs import parse_line
from tests.stack.conftest import ROOT, command

ROUNDS = 3
RUN_SECONDS = 800.0
GUIDE, NUMPYCLIENT = ROOT / "examples" / "guide", ROOT / "examples" / "guide-numpyclient"
HAS_TORCH = importlib.util.find_spec("torch") is not None

# What each example's lines begin with: they all run at once and share a node's log.
EXAMPLES: dict[str, tuple[Path, dict[str, Any]]] = {
    "n_val=": (GUIDE, {"example": "stateless"}),
    "self.n_val=": (NUMPYCLIENT, {"stateful": False}),
    "config_records=": (GUIDE, {"example": "n_val"}),
    "configs_records=": (NUMPYCLIENT, {"stateful": True}),
    "my_array=": (GUIDE, {"example": "numpy_arrays"}),
    "fc.bias=": (GUIDE, {"example": "torch_model"}),
    "weights=": (GUIDE, {"example": "keras_model"}),
    "body=": (GUIDE, {"example": "part_of_model"}),
    "Progress(": (GUIDE, {"example": "objects"}),
}
PRINT_SECONDS = 10.0
Printed = dict[str, list[list[str]]]

pytestmark = pytest.mark.timeout(RUN_SECONDS + 60)


@pytest.fixture(scope="module")
def printed(federation: Federation) -> Printed:
    """Run all examples; return what each printed: a list for each node, a line for each round."""
    logs = [node.executor.log_file for node in federation.nodes]
    before = [log.stat().st_size for log in logs]
    runs = [
        start(federation, app, {"num-rounds": ROUNDS, **config})
        for app, config in EXAMPLES.values()
        if HAS_TORCH or config.get("example") != "torch_model"
    ]
    statuses = wait_for_runs(federation, runs, RUN_SECONDS)
    assert set(statuses.values()) == {"finished:completed"}
    # Whatever an example keeps, or does not: its runs are verified.
    done = command("fedstate", "verify", *map(str, runs), environment=federation.environment)
    assert done.returncode == 0, done.stdout + done.stderr

    def read() -> Printed:
        texts = [log.read_bytes()[at:].decode() for log, at in zip(logs, before, strict=True)]
        said = [
            [line.text for each in text.splitlines() if (line := parse_line(each))]
            for text in texts
        ]
        return {
            start: [[line for line in lines if line.startswith(start)] for lines in said]
            for start in EXAMPLES
        }

    # A process prints what it has left to print when it ends, after its reply. What is missing
    # for good is for the tests to say.
    waiting.wait_until(
        lambda: all(len(lines) >= ROUNDS for found in read().values() for lines in found),
        PRINT_SECONDS,
    )
    return read()


def of_each_node(printed: Printed, start: str) -> list[list[str]]:
    assert [len(lines) for lines in printed[start]] == [ROUNDS] * 3, "a line in every round"
    return printed[start]


@pytest.mark.parametrize("start", ["n_val=", "self.n_val="], ids=["message", "numpyclient"])
def test_by_design_a_client_app_is_stateless(printed: Printed, start: str) -> None:
    for lines in of_each_node(printed, start):
        assert all(re.fullmatch(rf"{start}\[\d+\]", line) for line in lines), lines


@pytest.mark.parametrize(
    "start", ["config_records=", "configs_records="], ids=["message", "numpyclient"]
)
def test_n_val_gets_one_more_number_with_each_round(printed: Printed, start: str) -> None:
    for lines in of_each_node(printed, start):
        assert lines[0] == f"{start}{{'eval_metrics': {{}}}}"
        records = [ast.literal_eval(line.removeprefix(start)) for line in lines]
        numbers = [record["eval_metrics"].get("n_val", []) for record in records]
        assert [len(of_round) for of_round in numbers] == [0, 1, 2]
        assert numbers[2][:1] == numbers[1]


@pytest.mark.parametrize("start", ["my_array=", "fc.bias=", "weights="])
def test_what_is_loaded_is_what_was_saved(printed: Printed, start: str) -> None:
    if start == "fc.bias=" and not HAS_TORCH:
        pytest.skip("PyTorch is optional: pip install torch")
    of_nodes = of_each_node(printed, start)
    assert all(len(set(lines)) == 1 for lines in of_nodes), "the same values in every round"
    assert len({lines[0] for lines in of_nodes}) == len(of_nodes), "each client keeps its own"


def test_a_part_of_the_model_stays_with_the_client(printed: Printed) -> None:
    for lines in of_each_node(printed, "body="):
        bodies, heads = zip(*(line.split(" head=") for line in lines), strict=True)
        assert len(set(bodies)) == ROUNDS, "the body is another each time"
        for before, after in pairwise(np.array(ast.literal_eval(head)) for head in heads):
            np.testing.assert_allclose(after, before + 1, rtol=1e-6)


def test_arbitrary_objects_persist(printed: Printed) -> None:
    for lines in of_each_node(printed, "Progress("):
        assert [line.split(" {'moments'")[0] for line in lines] == [
            "Progress(best_loss=1.0, labels_seen=set())",
            "Progress(best_loss=0.5, labels_seen={0})",
            "Progress(best_loss=0.25, labels_seen={0, 1})",
        ]
        assert lines[2].endswith(
            "{'moments': (array([2., 2.]), b''), 'steps': [{'round': 1}, {'round': 2}]}"
        )
