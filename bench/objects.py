"""What a message of 100 MB costs the process of an app: taken apart, and put together again.

Each way is measured in a process of its own, since ours binds methods of flwr's anew: processor
time, of one process after the other.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict

# How flwr pushes a message, and puts a pulled one together.
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity

from bench.row import Row
from fedstate.flower.array_objects import use_quick_objects

MEGABYTES = 100
LAYERS = 10
REPEATS = 7
OURS, THEIRS = "ours", "flwr"


def rows() -> Iterator[Row]:
    """Yield the rows."""
    measured = {each: _in_a_process(each) for each in (THEIRS, OURS)}
    for number, what in enumerate(("take a message of {} MB apart", "put it together again")):
        yield Row(
            f"processor time to {what.format(MEGABYTES)}, against flwr's own code",
            measured[OURS][number],
            measured[THEIRS][number],
            None,
            "s",
        )


def _in_a_process(way: str) -> list[float]:
    command = [sys.executable, "-m", __spec__.name, way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(each) for each in done.stdout.split()]


def _measure() -> Iterator[float]:
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    random = np.random.default_rng(0)
    elements = MEGABYTES * 1_000_000 // 4 // LAYERS
    weights = [random.random(elements, np.float32) for _ in range(LAYERS)]
    apart: list[tuple[str, dict[str, bytes]]] = []

    def take_apart() -> None:
        message = Message(RecordDict({"a": ArrayRecord(weights)}), 1, "train")
        message.metadata.__dict__["_message_id"] = message.object_id
        with no_object_id_recompute():
            tree = get_object_tree(message)
            nested = get_all_nested_objects(message)
            apart.append((tree.object_id, {key: each.deflate() for key, each in nested.items()}))

    def put_together() -> None:
        object_id, contents = apart.pop()
        inflate_object_from_contents(object_id, contents)

    seconds: dict[Callable[[], None], list[float]] = {take_apart: [], put_together: []}
    for _ in range(REPEATS):
        for measured in seconds:
            began = time.process_time()
            measured()
            seconds[measured].append(time.process_time() - began)
    return (statistics.median(each) for each in seconds.values())


if __name__ == "__main__":
    if sys.argv[1] == OURS:
        use_quick_objects()
    print(*_measure())  # noqa: T201
