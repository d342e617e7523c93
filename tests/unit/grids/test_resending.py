"""Sending a step again: which errors, how often, how long, and what the caller gets.

The Grid inside is a script of what a SuperLink answers; that a real one takes the same message
twice is what tests/crash shows.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from flwr.app import Error, Message, Metadata, RecordDict
from flwr.app.message import make_message

from fedstate.errors import FederationError, SettingError
from fedstate.flower.errors import ErrorCode
from fedstate.grids.resending import ResendingGrid
from fedstate.grids.wrapper import GridWrapper

RAISED = 2


class ScriptedGrid(GridWrapper):
    """Answer each message with the next of its answers: None is success, else an error code."""

    def __init__(self, answers: dict[str, list[int | None]], online: Any = None) -> None:
        self.answers = answers
        self.online = online or (lambda: {1, 2})
        self.sent: list[list[str]] = []

    def get_node_ids(self) -> Iterable[int]:
        return set(self.online())

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        del timeout  # the wrapper's own bounds are what is tested
        messages = list(messages)
        self.sent.append([message.metadata.message_id for message in messages])
        # Replies come in any order.
        return [self._reply(message) for message in reversed(messages)]

    def _reply(self, message: Message) -> Message:
        code = self.answers[message.metadata.message_id].pop(0)
        if code is None:
            return Message(RecordDict(), reply_to=message)
        return Message(Error(code, "lost"), reply_to=message)


def messages(*names: str) -> list[Message]:
    return [
        make_message(
            metadata=Metadata(1, name, 9, node, "", "1", 1000.0, 10.0, "train"),
            content=RecordDict(),
        )
        for node, name in enumerate(names, start=1)
    ]


def replied(grid: ResendingGrid, *names: str) -> list[tuple[str, bool]]:
    return [
        (reply.metadata.reply_to_message_id, reply.has_content())
        for reply in grid.send_and_receive(messages(*names))
    ]


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.NODE_UNAVAILABLE,
        ErrorCode.MESSAGE_UNAVAILABLE,
        ErrorCode.REPLY_UNAVAILABLE,
        ErrorCode.CLIENT_APP_CRASHED,
    ],
)
def test_a_lost_step_is_sent_again_as_the_same_message(code: int) -> None:
    inner = ScriptedGrid({"a": [None], "b": [code, code, None]})
    assert replied(ResendingGrid(inner), "a", "b") == [("a", True), ("b", True)]
    assert inner.sent == [["a", "b"], ["b"], ["b"]]


def test_what_an_app_raised_is_not_sent_again() -> None:
    inner = ScriptedGrid({"a": [RAISED]})
    assert replied(ResendingGrid(inner), "a") == [("a", False)]
    assert inner.sent == [["a"]]


def test_a_clientapp_that_dies_every_time_is_tried_three_times() -> None:
    inner = ScriptedGrid({"a": [ErrorCode.CLIENT_APP_CRASHED] * 9})
    assert replied(ResendingGrid(inner), "a") == [("a", False)]
    assert len(inner.sent) == 3


def test_nodes_are_waited_for_and_sent_to_as_they_come_back() -> None:
    inner = ScriptedGrid(
        {"a": [ErrorCode.NODE_UNAVAILABLE, None], "b": [ErrorCode.NODE_UNAVAILABLE, None]},
        online=iter([[], [2], [1, 2]]).__next__,
    )
    assert replied(ResendingGrid(inner), "a", "b") == [("a", True), ("b", True)]
    assert inner.sent == [["a", "b"], ["b"], ["a"]]


def test_past_the_bound_the_run_goes_on_with_the_error() -> None:
    inner = ScriptedGrid({"a": [None], "b": [ErrorCode.NODE_UNAVAILABLE]}, online=lambda: {1})
    grid = ResendingGrid(inner, seconds=0.2)
    assert replied(grid, "a", "b") == [("a", True), ("b", False)]


def test_past_the_bound_the_run_fails_if_so_configured() -> None:
    inner = ScriptedGrid({"a": [None], "b": [ErrorCode.NODE_UNAVAILABLE]}, online=lambda: {1})
    with pytest.raises(FederationError, match=r"No reply from node 2 within 0.2 s"):
        replied(ResendingGrid(inner, seconds=0.2, on_lost="fail"), "a", "b")


def test_a_timeout_bounds_the_waiting_too() -> None:
    inner = ScriptedGrid({"a": [ErrorCode.NODE_UNAVAILABLE]}, online=lambda: set())
    replies = ResendingGrid(inner, seconds=3600).send_and_receive(messages("a"), timeout=0.2)
    assert [reply.has_error() for reply in replies] == [True]


def test_settings_that_cannot_be_used_are_refused() -> None:
    inner = ScriptedGrid({})
    with pytest.raises(SettingError, match="'resend-seconds' has the value -1"):
        ResendingGrid(inner, seconds=-1)
    with pytest.raises(SettingError, match="'on-lost-node' has the value 'ignore'"):
        ResendingGrid(inner, on_lost="ignore")  # type: ignore[arg-type]
