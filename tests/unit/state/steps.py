"""Messages, Contexts and steps for the tests of client state."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flwr.app import ConfigRecord, Context, Message, Metadata, RecordDict

from fedstate.flower.contexts import context_from_bytes, context_to_bytes
from fedstate.state import ClientState, open_state

RUN, NODE = 2**63 + 11, 2**62 + 7


def make_context(run_id: int = RUN, node_id: int = NODE, series_id: int = 0) -> Context:
    return Context(run_id, node_id, {}, RecordDict(), {}, series_id)


def make_message(
    server_round: int | None = 1, run_id: int = RUN, message_type: str = "train"
) -> Message:
    content = RecordDict()
    if server_round is not None:
        content["config"] = ConfigRecord({"server-round": server_round})
    metadata = Metadata(
        run_id=run_id,
        message_id=f"message-{server_round}",
        src_node_id=1,
        dst_node_id=NODE,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=3600.0,
        message_type=message_type,
    )
    # The form in which flwr makes the messages that it received; it is not in the overloads.
    return Message(content=content, metadata=metadata)  # type: ignore[call-overload, no-any-return]


def sent(context: Context) -> Context:
    """Return the Context as the next step gets it: pushed to the SuperNode and pulled again."""
    return context_from_bytes(context_to_bytes(context))


def to_bytes(context: Context) -> bytes:
    return context_to_bytes(context)


@contextmanager
def step(context: Context, server_round: int = 1, **options: Any) -> Iterator[ClientState]:
    with open_state(make_message(server_round, context.run_id), context, **options) as state:
        yield state


def stored_and_read(value: object) -> Any:
    """Return `value` after one step stored it, Flower moved it, and another step read it."""
    context = make_context()
    with step(context) as state:
        state["value"] = value
    with step(sent(context)) as state:
        return state["value"]


def digest_of(value: object) -> str:
    context = make_context()
    with step(context) as state:
        state["value"] = value
    assert state.entry is not None
    return state.entry.digest
