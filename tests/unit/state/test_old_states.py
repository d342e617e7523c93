"""What fedstate 0.1.0 stored is read as it was, keeps its digest, and goes on."""

import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context

from fedstate.flower.contexts import context_from_bytes
from fedstate.flower.stored_values import decode_context, describe_state
from fedstate.state import check_state, read_ledger
from fedstate.state.codecs import registry
from fedstate.store.backup import restore
from fedstate.store.node_store import NodeStore
from fedstate.store.values import Value
from tests.data import make_0_1_0 as old
from tests.unit.state.steps import digest_of, sent, step, to_bytes
from tests.unit.state.values import canonical

NAMES = ("plain", "torch")


@pytest.fixture(autouse=True)
def progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.codecs, "_codecs", dict(registry.codecs._codecs))
    old.register_progress()


@pytest.fixture(scope="module")
def archive() -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(old.ARCHIVE) as opened:
        yield opened


def stored(archive: zipfile.ZipFile, name: str) -> Context:
    return context_from_bytes(archive.read(f"contexts/{name}"))


@pytest.mark.parametrize("name", NAMES)
def test_reading_everything_changes_nothing(archive: zipfile.ZipFile, name: str) -> None:
    """The values are encoded anew before the commit: they must have the form that they had."""
    if name == "torch":
        pytest.importorskip("torch")
    context = stored(archive, name)
    before = to_bytes(context)
    with step(context, 9) as state:
        assert len([state[name] for name in state]) == len(state) > 0
    assert state.entry is None
    assert to_bytes(context) == before
    assert check_state(context.state) == read_ledger(context.state)[-1]


def test_plain_values_are_the_same(archive: zipfile.ZipFile) -> None:
    values = {**old.plain_values(), **old.flower_values()}
    with step(stored(archive, "plain"), 9) as state:
        for name, value in values.items():
            if name == "progress":
                assert state[name] == value
            else:
                assert canonical(state[name]) == canonical(value), name
        loss = state.history("loss")
        assert loss.rounds == [*range(old.ENTRIES), 3]
        assert loss.values.tolist() == [*(n / 8 for n in range(old.ENTRIES)), 0.5]
        assert state.history("bounded").values.tolist() == [6, 7, 8, 9]
        assert state.history("bounded").dropped == 6


@pytest.mark.parametrize("name", old.plain_values())
def test_equal_values_still_have_equal_digests(archive: zipfile.ZipFile, name: str) -> None:
    """What was stored then and what is stored now are one value to whoever compares digests."""
    with step(stored(archive, "plain"), 9) as state:
        was = state[name]
    assert digest_of(was) == digest_of(old.plain_values()[name])
    context = stored(archive, "plain")
    with step(context, 9) as state:
        state[name] = old.plain_values()[name]
    assert state.entry is None, "storing an equal value changed the state"


def test_pytorchs_values_are_the_same_and_can_be_loaded(archive: zipfile.ZipFile) -> None:
    torch = pytest.importorskip("torch")
    from tests.unit.state.torch_objects import threads

    with threads(2):  # as when the values were stored, which this computes again
        values, net = old.torch_values(), old.make_net()
    optimizer = torch.optim.Adam(net.parameters())
    with step(stored(archive, "torch"), 9) as state:
        state.load("net", into=net)
        state.load("optimizer", into=optimizer)
        for name, value in values.items():
            expected = value.state_dict() if name == "net" else value
            assert _flat(state[name]) == _flat(expected), name
    assert _flat(net.state_dict()) == _flat(values["net"].state_dict())
    assert _flat(optimizer.state_dict()) == _flat(values["optimizer"])


def test_the_next_step_goes_on_with_new_kinds_of_values(archive: zipfile.ZipFile) -> None:
    context = stored(archive, "plain")
    with step(context, 4) as state:
        state["new"] = {frozenset({1, 2})}
        state.history("loss").append(1)
        state["nested"]["lr"] = 0.2
    assert [entry.sequence for entry in read_ledger(context.state)] == [1, 2, 3, 4]
    with step(sent(context), 5) as state:
        assert state["new"] == {frozenset({1, 2})}
        assert len(state.history("loss")) == old.ENTRIES + 2
        assert state["nested"]["lr"] == 0.2


@pytest.mark.parametrize("restored", [False, True], ids=["store", "backup"])
def test_the_node_store_and_its_backup_are_read(
    archive: zipfile.ZipFile, tmp_path: Path, restored: bool
) -> None:
    archive.extractall(tmp_path)
    directory = tmp_path / "state"
    if restored:
        directory = tmp_path / "restored"
        restore(tmp_path / "backup", directory)
    with closing(NodeStore(directory, key=None)) as store:
        assert {run.run_id for run in store.runs()} == set(old.RUNS)
        for series_id, name in enumerate(NAMES, 1):
            value = store.context(series_id)
            assert value is not None
            context = decode_context(value).join()
            assert to_bytes(context) == to_bytes(stored(archive, name))
            check_state(context.state)
        # Its steps are in no log, which says so; the next one is.
        assert store.chains() == []
        (first, *_) = sorted(old.RUNS)
        store.receive("next", first, Value(b"message"))
        held = store.held(first, describe_state)
        store.commit("next", held.series_id, Value(b"context"), Value(b"reply"))
        (chain,) = store.chains()
        assert (chain.run_id, chain.complete, chain.length) == (first, False, 1)


def _flat(value: Any) -> Any:
    """Return a value with its tensors as bytes, so that it can be compared."""
    if isinstance(value, dict):
        return {key: _flat(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(item) for item in value]
    if hasattr(value, "untyped_storage"):
        tensor = value.detach().contiguous()
        return str(tensor.dtype), tuple(tensor.shape), bytes(tensor.untyped_storage())
    return value.tolist() if isinstance(value, np.ndarray) else value
