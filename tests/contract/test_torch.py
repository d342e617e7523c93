"""What a room relies on in PyTorch: imported before a fork, it trains in the fork, on threads."""

import os
from collections.abc import Iterator

import pytest

from fedstate.executor.import_report import ImportReport
from tests.stack.executor.conftest import Node
from tests.unit.executor.tasks import Rooms, app

BEFORE = """
import sys
warm = "torch" in sys.modules
import torch
from torch.utils.data import DataLoader, TensorDataset
drawn = torch.rand(1).item()
"""
AFTER = """

def train():
    torch.set_num_threads(2)
    torch.manual_seed(1)
    inputs = torch.randn(2048, 128)
    first = torch.randn(128, 256, requires_grad=True)
    second = torch.zeros(256, requires_grad=True)
    losses = []
    for _ in range(5):
        loss = ((inputs @ first).relu() @ second - inputs.sum(1)).pow(2).mean()
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for each in (first, second):
                each -= 1e-6 * each.grad
                each.grad = None
    tasks = len(os.listdir("/proc/self/task"))
    return {"losses": losses, "threads": torch.get_num_threads(), "tasks": tasks}


def load():
    dataset = TensorDataset(torch.arange(64.0))
    loader = DataLoader(dataset, batch_size=16, num_workers=2)
    return [batch.sum().item() for (batch,) in loader]
"""
ASKED = {
    "warm": "warm",
    "trained": "train()",
    "loaded": "load()",
    "drawn": "drawn",
}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    node = Node()
    yield Rooms(node, tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("none"))
    node.stop()


@pytest.fixture(scope="module")
def run(rooms: Rooms) -> int:
    return rooms.run(app(BEFORE, AFTER))


@pytest.fixture(scope="module")
def report(rooms: Rooms, run: int) -> ImportReport:
    """What the first message of a run reports of the import of PyTorch."""
    with rooms.room() as room:
        done = room.ask(run, threads="torch.get_num_threads()")
    return done.report


def test_pytorch_is_fit_for_a_room(report: ImportReport) -> None:
    assert "torch" in dict(report.modules)
    assert report.left == ()


def test_messages_after_the_first_find_it_imported_and_train(
    rooms: Rooms, run: int, report: ImportReport
) -> None:
    with rooms.room(report=report) as room:
        answers = [room.ask(run, **ASKED).answer for _ in range(2)]
    for answer in answers:
        assert answer["warm"]
        losses = answer["trained"]["losses"]
        assert losses == sorted(losses, reverse=True)
        assert len(set(losses)) == len(losses)
        assert answer["trained"]["threads"] == 2
        assert answer["loaded"] == [120.0, 376.0, 632.0, 888.0]
    # What is seeded by the app is alike, and PyTorch's own seed is another in each process.
    assert answers[0]["trained"]["losses"] == answers[1]["trained"]["losses"]
    assert answers[0]["drawn"] != answers[1]["drawn"]


def test_threads_that_an_app_asks_for_are_those_that_it_gets(rooms: Rooms) -> None:
    """Though PyTorch is preloaded, and reads the variable when it is imported."""
    code = "import os\nos.environ['OMP_NUM_THREADS'] = '1'\nimport torch"
    run = rooms.run(app(code))
    with rooms.room("torch", settings={"OMP_NUM_THREADS": "2"}) as room:
        done = room.ask(run, threads="torch.get_num_threads()")
    assert done.bare is not None
    assert done.answer == {"threads": 1}


@pytest.mark.skipif(not os.environ.get("FEDSTATE_SLOW"), reason="takes a minute: make test-long")
def test_keras_has_the_backend_that_an_app_chooses(rooms: Rooms) -> None:
    code = "import os\nos.environ['KERAS_BACKEND'] = {!r}\nimport keras"
    function = "\ndef late():\n    os.environ['KERAS_BACKEND'] = 'torch'\n    import keras\n"
    asked = {
        "backend": "__import__('keras').backend.backend()",
        "tensorflow": "'tensorflow' in sys.modules",
    }
    with rooms.room("tensorflow", "keras") as room:
        warm = room.ask(rooms.run(app(code.format("tensorflow"))), **asked)
        other = room.ask(rooms.run(app(code.format("torch"))), **asked)
        late = room.ask(rooms.run(app("", function)), backend="late() or " + asked["backend"])
    assert warm.bare is None
    assert warm.answer == {"backend": "tensorflow", "tensorflow": True}
    assert other.answer == {"backend": "torch", "tensorflow": False}
    assert late.answer == {"backend": "torch"}
