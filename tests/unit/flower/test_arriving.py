"""A message is taken in as flwr does it, and its larger arrays wait in a file."""

import threading
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, FedMedian
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectUnavailableError,
    inflate_object_from_contents,
)
from flwr.supercore.task_identity import TaskIdentity

from fedstate.flower import arriving
from fedstate.flower.arriving import take_in
from fedstate.large.spool import ArrayOfPieces, Spooled

RANDOM = np.random.default_rng(0)
LARGE = RANDOM.standard_normal((300, 300)).astype(np.float32)


@pytest.fixture(autouse=True)
def _a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    monkeypatch.setattr(arriving, "KEPT_BYTES", 100_000)
    monkeypatch.setattr("flwr.app.message.array.FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE", 50_000)


def taken_apart(message: Message) -> tuple[Any, dict[str, bytes]]:
    message.metadata.__dict__["_message_id"] = message.object_id
    with no_object_id_recompute():
        nested = get_all_nested_objects(message)
        return get_object_tree(message), {key: each.deflate() for key, each in nested.items()}


def reply(*arrays: Any, examples: int = 3) -> Message:
    content = RecordDict({"arrays": ArrayRecord(list(arrays))})
    content["metrics"] = MetricRecord({"num-examples": examples, "loss": 0.5})
    return Message(content, dst_node_id=1, message_type="train")


CONTENTS = {
    "large": RecordDict({"arrays": ArrayRecord([LARGE, LARGE * 2])}),
    "small beside large": RecordDict(
        {
            "arrays": ArrayRecord([LARGE, np.arange(3), np.zeros(0), np.ones((), np.float32)]),
            "others": ArrayRecord({"own": Array("x", (1,), "own", bytes(200_000))}),
            "small": ArrayRecord([np.arange(2)]),
            "none": ArrayRecord(),
            "config": ConfigRecord({"raw": b"ArrayChunk  3\0abc", "large": b"x" * 200_000}),
            "metrics": MetricRecord({"loss": [0.5]}),
        }
    ),
    "one array thrice": RecordDict(
        {"a": ArrayRecord({"1": Array(LARGE), "2": Array(LARGE)}), "b": ArrayRecord([LARGE])}
    ),
    "equal chunks": RecordDict({"a": ArrayRecord([np.zeros(100_000), np.ones(100_000)])}),
    "nothing": RecordDict(),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_it_is_the_message_that_flwr_takes_in(content: RecordDict) -> None:
    tree, objects = taken_apart(Message(content, dst_node_id=1, message_type="train"))
    ours = take_in(tree, objects.__getitem__)
    theirs = inflate_object_from_contents(tree.object_id, dict(objects))
    assert isinstance(theirs, Message)
    assert ours.content == theirs.content
    assert list(ours.content) == list(theirs.content)
    assert vars(ours.metadata) == vars(theirs.metadata)
    for name, record in ours.content.array_records.items():
        assert list(record) == list(theirs.content.array_records[name])
        assert record.object_id == theirs.content.array_records[name].object_id


def test_what_is_over_the_bound_waits_and_small_messages_do_not() -> None:
    tree, objects = taken_apart(reply(LARGE, LARGE * 2, np.arange(3)))
    arrays = take_in(tree, objects.__getitem__).content.array_records["arrays"]
    assert sum(isinstance(each, ArrayOfPieces) for each in arrays.values()) == 2
    tree, objects = taken_apart(reply(np.arange(8000.0)))
    (array,) = take_in(tree, objects.__getitem__).content.array_records["arrays"].values()
    assert type(array) is Array


def test_equal_arrays_can_be_given_other_bytes_each_by_itself() -> None:
    tree, objects = taken_apart(reply(LARGE, LARGE, np.arange(3), np.arange(3)))
    arrays = list(take_in(tree, objects.__getitem__).content.array_records["arrays"].values())
    before = [each.data for each in arrays]
    for changed in (0, 2):
        arrays[changed].data = b"other"
    assert [each.data for each in arrays] == [b"other", before[1], b"other", before[3]]


@pytest.mark.parametrize("strategy", [FedAvg(), FedMedian()], ids=lambda s: type(s).__name__)
def test_flowers_strategies_come_to_the_same_bits(strategy: FedAvg) -> None:
    replies = [reply(LARGE * (n + 1.1), LARGE - n, examples=3 + n) for n in range(3)]
    taken = [take_in(*pulled) for pulled in map(_pullable, replies)]
    ours, our_metrics = strategy.aggregate_train(1, taken)
    theirs, their_metrics = strategy.aggregate_train(1, replies)
    assert ours == theirs
    assert our_metrics == their_metrics


def _pullable(message: Message) -> tuple[Any, Any]:
    tree, objects = taken_apart(message)
    return tree, objects.__getitem__


def test_an_object_on_its_way_is_waited_for_and_one_that_is_gone_is_said() -> None:
    tree, objects = taken_apart(reply(LARGE))
    late = {key for key, each in objects.items() if each.startswith(b"ArrayChunk")}
    lock = threading.Lock()

    def pull(object_id: str) -> bytes:
        with lock:
            if object_id in late:
                late.discard(object_id)
                raise ObjectUnavailableError(object_id)
        return objects[object_id]

    assert take_in(tree, pull).content == reply(LARGE).content
    gone = next(key for key, each in objects.items() if each.startswith(b"Array "))

    def lacking(object_id: str) -> bytes:
        if object_id == gone:
            raise ObjectPullError(object_id, "gone")
        return objects[object_id]

    with pytest.raises(ObjectPullError, match="gone"):
        take_in(tree, lacking)


def test_what_waits_for_one_message_is_not_pulled_for_another() -> None:
    """Nor kept for it: replies that are the same would all be in memory."""
    (tree, objects), (other, others) = map(taken_apart, (reply(LARGE), reply(LARGE, examples=5)))
    assert tree != other
    asked: list[str] = []
    gone: list[str] = []
    spooled: dict[str, Spooled] = {}

    def pull(object_id: str) -> bytes:
        asked.append(object_id)
        return (objects | others)[object_id]

    first = take_in(tree, pull, spooled, gone.append)
    assert set(gone) == spooled.keys()
    assert gone
    asked.clear()
    second = take_in(other, pull, spooled, gone.append)
    assert not set(gone) & set(asked)
    assert len(gone) == len(set(gone))
    del first
    assert second.content == reply(LARGE, examples=5).content
