"""What client state costs: a large Keras model, and histories short and long.

Both are measured as a step pays for them: opened, which checks every digest, changed, committed.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context, Message, Metadata, RecordDict

from bench.row import Row
from fedstate.state import open_state

MEGABYTES = 100
REPEATS = 7
LONG, SHORT = 100_000, 10
APPENDS = 50


def rows() -> Iterator[Row]:
    """Yield the rows, peer and ours measured in turns."""
    yield _model_row()
    yield _history_row()


def _model_row() -> Row:
    source, target = _model(), _model()
    ours, peer = _context(), _context()

    def with_library() -> None:
        with open_state(_message(), ours) as state:
            state["weights"] = source
        with open_state(_message(), ours) as state:
            state.load("weights", into=target)

    def plain() -> None:
        peer.state["weights"] = ArrayRecord(source.get_weights())
        target.set_weights(peer.state.array_records["weights"].to_numpy_ndarrays())

    def change() -> None:
        for variable in source.weights:
            variable.assign_add(variable * 0 + 1)

    mine, theirs = _in_turns(with_library, plain, REPEATS, change)
    return Row(
        name=f"save and load a Keras model of {MEGABYTES} MB, against a plain ArrayRecord",
        ours=mine,
        peer=theirs,
        goal=1.15,
        unit="s",
    )


def _history_row() -> Row:
    contexts = {count: _history(count) for count in (LONG, SHORT)}

    def append_to(count: int) -> Callable[[], None]:
        def append() -> None:
            for _ in range(APPENDS):
                with open_state(_message(), contexts[count]) as state:
                    state.history("loss").append(0.5)

        return append

    long, short = _in_turns(append_to(LONG), append_to(SHORT), REPEATS, lambda: None)
    return Row(
        name=f"append to a history of {LONG:,} entries, against one of {SHORT}",
        ours=long / APPENDS,
        peer=short / APPENDS,
        goal=2.0,
        unit="s",
    )


def _in_turns(
    ours: Callable[[], None],
    peer: Callable[[], None],
    repeats: int,
    before: Callable[[], None],
) -> tuple[float, float]:
    """Return the medians of the seconds that each takes, after one round to warm up."""
    seconds: dict[Callable[[], None], list[float]] = {ours: [], peer: []}
    for _ in range(repeats + 1):
        for measured in (ours, peer):
            before()
            started = time.perf_counter()
            measured()
            seconds[measured].append(time.perf_counter() - started)
    return statistics.median(seconds[ours][1:]), statistics.median(seconds[peer][1:])


def _model() -> Any:
    import keras  # TensorFlow takes seconds to import; other rows need none of it

    side = 1024
    layers = MEGABYTES * 1_000_000 // (4 * side * side)
    dense = [keras.layers.Dense(side) for _ in range(layers)]
    return keras.Sequential([keras.Input((side,)), *dense])


def _history(count: int) -> Context:
    context = _context()
    with open_state(_message(), context) as state:
        history = state.history("loss")
        for number, value in enumerate(np.linspace(1, 0, count)):
            history.append(value, number)
    return context


def _context() -> Context:
    return Context(1, 2, {}, RecordDict(), {})


def _message() -> Message:
    metadata = Metadata(
        run_id=1,
        message_id="message",
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="1",
        created_at=0.0,
        ttl=3600.0,
        message_type="train",
    )
    # The form in which flwr makes the messages that it received; it is not in the overloads.
    return Message(content=RecordDict(), metadata=metadata)  # type: ignore[call-overload, no-any-return]
