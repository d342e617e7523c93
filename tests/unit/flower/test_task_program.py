"""The output of a task is pushed until the server has it."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from flwr.proto.runtime_pb2 import PushTaskOutputRequest, PushTaskOutputResponse
from flwr.supercore.runtime import RuntimeHttpClient

from fedstate.flower import task_program

BROKEN = httpx.RemoteProtocolError("Server disconnected without sending a response.")
TAKEN = PushTaskOutputResponse()


def refused(status: int) -> httpx.HTTPStatusError:
    response = httpx.Response(status)
    return httpx.HTTPStatusError(
        str(status), request=httpx.Request("POST", "http://"), response=response
    )


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Push once, to a server that answers so; return how often it was asked, and was told."""

    def push(*answers: PushTaskOutputResponse | Exception) -> tuple[int, int]:
        left, told = list(answers), []

        def answer(*_: Any) -> PushTaskOutputResponse:
            following = left.pop(0)
            if isinstance(following, Exception):
                raise following
            return following

        monkeypatch.setattr(task_program, "_AGAIN_SECONDS", 0.0)
        monkeypatch.setattr(RuntimeHttpClient, "PushTaskOutput", answer)
        task_program._watch_output(lambda: told.append(1))
        client = RuntimeHttpClient.__new__(RuntimeHttpClient)
        client.PushTaskOutput(PushTaskOutputRequest())
        return len(answers) - len(left), len(told)

    return push


@pytest.mark.parametrize(
    "answers",
    [[TAKEN], [BROKEN, TAKEN], [BROKEN, BROKEN, TAKEN], [BROKEN, refused(401)]],
    ids=["at once", "again", "twice again", "only the answer was lost"],
)
def test_it_is_pushed_until_it_is_there(watched: Any, answers: Sequence[Any]) -> None:
    assert watched(*answers) == (len(answers), 1)


@pytest.mark.parametrize("answers", [[refused(401)], [refused(500)], [BROKEN, refused(403)]])
def test_what_the_server_refuses_is_not_pushed_again(
    watched: Any, answers: Sequence[Any]
) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        watched(*answers, TAKEN)


def test_a_server_that_does_not_come_back_is_given_up(
    watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_program, "_OUTPUT_SECONDS", 0.0)
    with pytest.raises(httpx.TransportError):
        watched(BROKEN, TAKEN)
