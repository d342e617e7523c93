"""The middleware hands flwr the small rest of a Context, and the client an ordinary message."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI, Request, Response
from flwr.app import Array, ArrayRecord, Context, RecordDict
from flwr.common.serde import context_to_proto
from flwr.proto.runtime_pb2 import PullTaskInputResponse, PushTaskOutputRequest

from fedstate import limits
from fedstate.large.context import SplitContext
from fedstate.large.middleware import (
    INPUT_ROUTE,
    OUTPUT_ROUTE,
    LargeContexts,
    current_transfer,
)

LARGE = Array(np.arange(500_000, dtype=np.float64))
SMALL = Array(np.arange(3))


def context() -> Context:
    state = RecordDict({"arrays": ArrayRecord({"large": LARGE, "small": SMALL})})
    return Context(1, 2, {}, state, {})


class Api:
    """An application in the place of flwr's, which keeps what it is given."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.arrays: list[Any] = []
        self.status = 200
        self.app = FastAPI()
        self.app.post(OUTPUT_ROUTE)(self._keep)
        self.app.post(INPUT_ROUTE)(self._hand_out)
        self.app.post("/v1/runtime/other")(self._keep)

    async def _keep(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        transfer = current_transfer()
        self.arrays.append(None if transfer is None else transfer.arrays)
        return Response(b"kept")

    def _hand_out(self) -> Response:
        split = SplitContext.split(context())
        transfer = current_transfer()
        assert transfer is not None
        transfer.arrays = split.arrays
        answer = PullTaskInputResponse(context=context_to_proto(split.context))
        return Response(answer.SerializeToString(), self.status, headers={"kept": "yes"})

    async def request(self, path: str, content: Any = b"") -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(LargeContexts(self.app)), base_url="http://node"
        ) as client:
            return await client.post(path, content=content)

    def post(self, path: str, content: Any = b"") -> httpx.Response:
        return asyncio.run(self.request(path, content))


@pytest.fixture
def api() -> Api:
    return Api()


def output() -> bytes:
    message = PushTaskOutputRequest(context=context_to_proto(context()), details="d")
    encoded: bytes = message.SerializeToString()
    return encoded


def test_flwr_reads_a_small_message_and_the_larger_arrays_are_beside_it(api: Api) -> None:
    assert api.post(OUTPUT_ROUTE, output()).content == b"kept"
    (body,), (arrays,) = api.bodies, api.arrays
    assert len(body) < 1000
    message = PushTaskOutputRequest.FromString(body)
    assert message.details == "d"
    assert list(arrays.is_large) == [1, 0]
    assert [bytes(each) for each in arrays.contents] == [LARGE.data]


def test_a_body_may_come_in_pieces(api: Api) -> None:
    async def pieces() -> Any:
        whole = output()
        for start in range(0, len(whole), 100_000):
            yield whole[start : start + 100_000]

    assert api.post(OUTPUT_ROUTE, pieces()).status_code == 200
    assert [bytes(each) for each in api.arrays[0].contents] == [LARGE.data]


def test_a_client_is_given_an_ordinary_message(api: Api) -> None:
    answer = api.post(INPUT_ROUTE)
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["kept"] == "yes"
    expected = PullTaskInputResponse(context=context_to_proto(context()))
    assert answer.content == expected.SerializeToString()


def test_an_answer_that_is_an_error_is_left_as_it_is(api: Api) -> None:
    api.status = 503
    answer = api.post(INPUT_ROUTE)
    assert answer.status_code == 503
    assert len(answer.content) < 1000


def test_what_is_no_message_is_left_to_flwr(api: Api) -> None:
    assert api.post(OUTPUT_ROUTE, b"\xff\xff not a message").status_code == 200
    assert api.bodies == [b"\xff\xff not a message"]
    assert api.arrays[0].contents == ()


def test_other_routes_are_left_alone(api: Api) -> None:
    api.post("/v1/runtime/other", output())
    assert (api.bodies, api.arrays) == ([output()], [None])


def test_a_context_over_the_limit_is_refused_in_one_sentence(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONTEXT_BYTES", 1000)
    answer = api.post(OUTPUT_ROUTE, output())
    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["detail"]
    assert api.bodies == []


def test_nothing_is_left_for_the_next_request(api: Api) -> None:
    async def one_task() -> None:
        await api.request(OUTPUT_ROUTE, output())
        assert current_transfer() is None
        await api.request("/v1/runtime/other")

    asyncio.run(one_task())
    assert len(api.arrays[0].contents) == 1
    assert api.arrays[1] is None
