"""TensorFlow is imported once, before the fork, and trains in every child after it."""

import os
from collections.abc import Callable

from tests.stack.executor.conftest import Executor, Node

# Hundreds in `make test-long`.
CHILDREN = int(os.environ.get("FEDSTATE_TENSORFLOW_CHILDREN", "12"))


def test_forked_children_train_at_once(fresh_node: Node, start: Callable[..., Executor]) -> None:
    executor = start("--max-concurrent-tasks", "4")
    executor.fork_server()
    messages = [fresh_node.ask(1, "fit") for _ in range(CHILDREN)]
    seconds = 60.0 + CHILDREN
    answers = [fresh_node.read(fresh_node.reply(message, seconds)) for message in messages]
    assert all(answer["losses"][-1] < answer["losses"][0] for answer in answers)
    # Keras takes its seed from Python's generator, which a fork would copy.
    assert len({answer["first"] for answer in answers}) == CHILDREN
    assert "tensorflow" in fresh_node.answer(1, "tell")["modules"]


def test_without_preloading_a_task_trains_too(
    fresh_node: Node, start: Callable[..., Executor]
) -> None:
    start("--preload", "none")
    answer = fresh_node.read(fresh_node.reply(fresh_node.ask(1, "fit"), 200))
    assert answer["losses"][-1] < answer["losses"][0]
