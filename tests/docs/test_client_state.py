"""What README and guide show of client state is run as it stands there."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord

from fedstate.state import check_state, open_state
from fedstate.state.described import rows, with_table
from tests.unit.state.steps import make_context, make_message, sent

ROOT = Path(__file__).parents[2]


def python_blocks(page: str) -> list[str]:
    blocks: list[str] = re.findall(r"(?ms)^```python\n(.*?)^```", (ROOT / page).read_text())
    return blocks


def run(code: str, page: str, names: dict[str, Any]) -> None:
    exec(compile(code, page, "exec"), names)  # noqa: S102


def test_the_readmes_example_is_a_client_that_remembers() -> None:
    keras = pytest.importorskip("keras")

    def make_model() -> Any:
        layers = [keras.layers.Dense(2, name="body"), keras.layers.Dense(1, name="head")]
        model = keras.Sequential([keras.Input((3,)), *layers])
        model.compile("sgd", "mse")
        return model

    example, _ = python_blocks("README.md")
    images = np.ones((5, 3), np.float32)
    names: dict[str, Any] = {"make_model": make_model, "images": images, "labels": images[:, :1]}
    run(example, "README.md", names)
    context, arrays = make_context(), ArrayRecord(make_model().get_weights())
    for server_round in (1, 2):
        context, message = sent(context), make_message(server_round)
        message.content["arrays"] = arrays
        reply = names["app"](message, context)
    with open_state(make_message(3), context) as state:
        head = list(state["head"].values())
        sent_back = reply.content["arrays"].to_numpy_ndarrays()[-2:]
        assert all(np.array_equal(a, b) for a, b in zip(head, sent_back, strict=True))
        assert state.history("loss").rounds == [1, 2]
        assert state["notes"] == [{"round": 1, "images": 5}, {"round": 2, "images": 5}]


def test_every_block_of_the_guide_runs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("keras")
    first, *blocks = python_blocks("docs/client-state.md")
    context = make_context()
    names: dict[str, Any] = {"context": context, "message": make_message(1)}
    run(first, "docs/client-state.md", names)
    for server_round in (1, 2):
        names["app"](make_message(server_round), context)
    names["model"] = names["make_model"]()
    for block in blocks:
        if "import torch" not in block or find_spec("torch") is not None:
            run(block, "docs/client-state.md", names)
    assert len(blocks) == 8
    newest = check_state(context.state)
    assert names["newest"] == newest
    assert newest is not None
    assert newest.sequence == 7 + ("net" in context.state)
    with open_state(make_message(3), context) as state:
        assert state.history("loss").rounds == [1, 2]
        assert state["seen"] == [8, 8, 8]
        assert state["progress"].patience == 2
        assert state["stats"] == [names["Stats"](0.5, {"images": 8})]
        assert int(state["optimizer"]["adam/iteration"]) == 2
    assert "HistoryEntry(server_round=1, value=0.5)" in capsys.readouterr().out


def test_the_guides_table_is_what_the_code_says() -> None:
    guide = (ROOT / "docs" / "client-state.md").read_text()
    assert guide == with_table(guide), (
        "write it anew: python -m fedstate.state.described docs/client-state.md"
    )
    assert len(set(rows())) == len(rows())


def test_the_guide_names_every_error_and_every_public_name_is_documented() -> None:
    from fedstate import state

    guide = (ROOT / "docs" / "client-state.md").read_text()
    for name in state.__all__:
        assert getattr(state, name).__doc__ or name.isupper()
        if name.endswith("Error"):
            assert name in guide
