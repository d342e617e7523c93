"""A state is written into files of each format, and nothing else happens to them."""

import json
import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord

import fedstate
from fedstate.inspection import InspectionError, State, Store
from fedstate.inspection.errors import NotFoundError
from fedstate.inspection.export import Format, export_state, export_table, format_of
from fedstate.inspection.export.formats import SUFFIXES
from fedstate.inspection.histories import study
from fedstate.state.errors import StateFitError
from fedstate.store.errors import StoreDamagedError
from fedstate.store.node_store import NodeStore
from tests.unit.inspection.stores import OTHER, RUN, Recorder, weights
from tests.unit.optional import optional

NEEDS = {
    Format.SAFETENSORS: "safetensors",
    Format.TORCH: "torch",
    Format.PARQUET: "pyarrow",
}
WITHOUT_A_MODEL = [suffix for suffix, form in SUFFIXES.items() if form is not Format.KERAS]


@pytest.fixture
def state(store: Store) -> Any:
    return store.runs[RUN].state()


def needed(suffix: str) -> None:
    form = SUFFIXES[suffix]
    if form in NEEDS:
        optional(NEEDS[form])


def test_a_value_and_all_values_as_npz(state: State, tmp_path: Path) -> None:
    done = export_state(state, tmp_path / "one.npz", "weights")
    with np.load(tmp_path / "one.npz") as read:
        assert np.array_equal(read["weights"], weights(3))
    assert (done.format, done.exported, done.left_out) == ("npz", ["weights"], [])
    assert done.size == (tmp_path / "one.npz").stat().st_size
    all_of_it = export_state(state, tmp_path / "all.npz")
    assert all_of_it.exported == ["weights", "notes", "loss"]
    assert "count" in all_of_it.left_out


def test_a_value_and_all_values_as_json(state: State, tmp_path: Path) -> None:
    export_state(state, tmp_path / "all.json")
    read = json.loads((tmp_path / "all.json").read_text())
    assert list(read) == list(state.values)
    assert read["weights"] == weights(3).tolist()
    assert read["progress"] == {"best": 1 / 3, "counts": {"images": 3}}
    assert read["notes"] == {"mask": [0, 1, 2, 3], "round": 3}
    assert read["loss"] == {"rounds": [1, 2, 3], "values": [1.0, 0.5, 1 / 3]}
    export_state(state, tmp_path / "one.json", "count")
    assert json.loads((tmp_path / "one.json").read_text()) == read["count"] == 3


def test_histories_as_tables(state: State, tmp_path: Path) -> None:
    done = export_state(state, tmp_path / "all.csv")
    assert (tmp_path / "all.csv").read_text().splitlines()[:2] == [
        "name,entry,round,value",
        "loss,0,1,1.0",
    ]
    assert done.exported == ["loss"]
    with pytest.raises(InspectionError, match=r"'weights' is a array, and csv is for histories"):
        export_state(state, tmp_path / "one.csv", "weights")
    with pytest.raises(NotFoundError, match="no history 'x'"):
        export_state(state, tmp_path / "one.csv", "x")


def test_a_state_without_histories_is_no_empty_table(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path / "state")) as made:
        Recorder(made, RUN)
    state = fedstate.open_store(tmp_path / "state").state(str(RUN))
    with pytest.raises(InspectionError, match=f"Run {RUN} has no history to write as csv"):
        export_state(state, tmp_path / "a.csv")


def test_a_study(store: Store, tmp_path: Path) -> None:
    export_table(study([store]), tmp_path / "study.csv")
    lines = (tmp_path / "study.csv").read_text().splitlines()
    assert lines[0] == "run,config,seed,node,partition,name,entry,round,value"
    assert len(lines) == 6
    with pytest.raises(InspectionError, match="A table cannot be written as npz"):
        export_table(study([store]), tmp_path / "study.npz")


@pytest.mark.parametrize("suffix", WITHOUT_A_MODEL)
def test_a_file_is_replaced_only_if_somebody_says_so(
    state: State, tmp_path: Path, suffix: str
) -> None:
    needed(suffix)
    file = tmp_path / f"a{suffix}"
    file.write_text("old")
    with pytest.raises(InspectionError, match="is there already; give --replace"):
        export_state(state, file)
    assert file.read_text() == "old"
    assert export_state(state, file, replace=True).size > 50
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


@contextmanager
def no_room(size: int = 100) -> Iterator[None]:
    """Let no file of this process grow larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", WITHOUT_A_MODEL)
def test_a_file_that_has_no_room_is_one_sentence(tmp_path: Path, suffix: str) -> None:
    needed(suffix)
    with closing(NodeStore(tmp_path / "state")) as made:
        run = Recorder(made, RUN)

        def work(_: object, state: Any) -> None:
            state["weights"] = np.arange(500.0)
            for number in range(1000):
                state.history("loss").append(float(number), number)

        run.step(1, work)
    found = fedstate.open_store(tmp_path / "state").state(str(RUN))
    values = {name: value.load() for name, value in found.values.items()}
    assert values
    there = tmp_path / "there"
    there.mkdir()
    with (
        pytest.raises(InspectionError, match=r"cannot be written \(File too large\)") as raised,
        no_room(),
    ):
        export_state(found, there / f"a{suffix}")
    assert "has room for it" in str(raised.value)
    assert not list(there.iterdir())


def test_a_damaged_value_leaves_no_file(tmp_path: Path) -> None:
    with closing(NodeStore(tmp_path / "state")) as made:
        run = Recorder(made, RUN)
        run.context.state["bad"] = ArrayRecord([np.full(3000, 7.0)])
        run.commit("m")
    database = tmp_path / "state" / "node.db"
    content = database.read_bytes()
    place = content.index(np.full(3000, 7.0).tobytes()[:1000])
    database.write_bytes(content[: place + 8] + b"x" + content[place + 9 :])
    state = fedstate.open_store(tmp_path / "state").state(str(RUN))
    for name in ("a.npz", "a.json"):
        with pytest.raises(StoreDamagedError, match="value 'bad' of the state of run"):
            export_state(state, tmp_path / name)
        assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_keras_weights_need_a_model_and_a_keras_value(state: State, tmp_path: Path) -> None:
    with pytest.raises(InspectionError, match="no weights of a Keras model here, but 'weights'"):
        export_state(state, tmp_path / "a.weights.h5")


def test_keras_reads_its_weights(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    layers = keras.layers

    def model() -> Any:
        inside = keras.Sequential(
            [keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()]
        )
        made = keras.Sequential(
            [keras.Input((4,)), inside, layers.Dense(2, name="head"), layers.Dense(1)]
        )
        for weight in made.weights:
            weight.assign(np.random.default_rng(len(weight.path)).normal(size=weight.shape))
        return made

    trained = model()
    trained.set_weights([array + 1 for array in trained.get_weights()])
    with closing(NodeStore(tmp_path / "state")) as made:
        run = Recorder(made, RUN)
        run.step(1, lambda _, state: state.update(net=trained, other=1))
    state = fedstate.open_store(tmp_path / "state").state(str(RUN))
    assert state.values["net"].type == "Keras weights"
    file = tmp_path / "net.weights.h5"
    with pytest.raises(InspectionError, match="give the function that makes the app's model"):
        export_state(state, file)
    with no_room(), pytest.raises(InspectionError, match=r"cannot be written \(File too large\)"):
        export_state(state, file, model=model())
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    done = export_state(state, file, model=model())
    assert (done.format, done.exported) == ("keras", ["net"])
    fresh = model()
    fresh.load_weights(file)
    for stored, read in zip(trained.get_weights(), fresh.get_weights(), strict=True):
        assert np.array_equal(stored, read)
    with pytest.raises(StateFitError, match=r"The state of run \d+: value 'net': "):
        export_state(
            state,
            file,
            model=keras.Sequential([keras.Input((4,)), layers.Dense(1)]),
            replace=True,
        )
    with np.load(_as_npz(state, tmp_path)) as arrays:
        assert np.array_equal(arrays["head/kernel"], trained.layers[1].get_weights()[0])


def _as_npz(state: State, directory: Path) -> Path:
    export_state(state, directory / "net.npz", "net")
    return directory / "net.npz"


def test_torch_reads_a_state_dict(tmp_path: Path) -> None:
    torch = optional("torch")
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).to(torch.float32)
    with closing(NodeStore(tmp_path / "state")) as made:
        run = Recorder(made, RUN)
        run.step(1, lambda _, state: state.update(net=net))
    state = fedstate.open_store(tmp_path / "state").state(str(RUN))
    export_state(state, tmp_path / "net.pt", "net")
    read = torch.load(tmp_path / "net.pt", weights_only=True)
    fresh = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    fresh.load_state_dict(read)
    for name, tensor in net.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor)


def test_records_of_an_app_without_our_library(store: Store, tmp_path: Path) -> None:
    state = store.runs[OTHER].state()
    export_state(state, tmp_path / "a.npz", "net")
    with np.load(tmp_path / "a.npz") as read:
        assert {name: read[name].shape for name in read} == {"a": (3,), "b": (2, 3000)}


def test_every_format_is_tested_for_room() -> None:
    assert {format_of(Path(f"a{suffix}")) for suffix in WITHOUT_A_MODEL} == set(Format) - {
        Format.KERAS
    }
