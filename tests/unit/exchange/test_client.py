"""The client of our routes, at servers that answer as the test says."""

from collections.abc import Callable

import httpx
import pytest
from flwr.supercore.protobuf.client import ProtobufClient
from tests.unread import unread

from fedstate.exchange.client import ExtraRoutes, Waited, batches
from fedstate.exchange.messages import (
    BATCH_BYTES,
    PullObjectsRequest,
    PullObjectsResponse,
    PushObjectsRequest,
    PushObjectsResponse,
    WaitRequest,
    WaitResponse,
)
from fedstate.flower.messages import Node, PullObjectResponse
from fedstate.large.wire import size_of

NODE = Node(node_id=1)
PATH = "/v1/route"

Handler = Callable[[httpx.Request], httpx.Response]


def routes_at(handler: Handler) -> ExtraRoutes:
    client = ProtobufClient("http://server")
    client._client = httpx.Client(transport=httpx.MockTransport(handler))
    return ExtraRoutes(client)


def refusing(status: int, requests: list[str]) -> Handler:
    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request.url.path)
        return unread(httpx.Response(status))

    return handle


def test_a_route_that_a_server_lacks_is_requested_once_until_forgotten() -> None:
    requests: list[str] = []
    routes = routes_at(refusing(404, requests))
    for _ in range(3):
        assert routes.wait(PATH, NODE, 0, 1) is None
    assert requests == [PATH]
    assert routes.lacks(PATH)
    assert not routes.lacks("/v1/other")
    routes.forget()
    assert not routes.lacks(PATH)
    assert routes.push(PATH, NODE, 1, "s", {"a": [b""]}) is None
    assert requests == [PATH, PATH]


@pytest.mark.parametrize("status", [400, 401, 403, 405, 413, 500, 503])
def test_every_other_refusal_is_an_error_and_the_route_is_requested_again(status: int) -> None:
    requests: list[str] = []
    routes = routes_at(refusing(status, requests))
    for _ in range(2):
        with pytest.raises(httpx.HTTPStatusError):
            routes.pull(PATH, NODE, 1, ["a"])
    assert len(requests) == 2


def test_an_answer_that_is_no_message_is_an_error() -> None:
    routes = routes_at(lambda _: httpx.Response(200, content=b"<html>"))
    with pytest.raises(ValueError, match="protobuf"):
        routes.wait(PATH, NODE, 0, 1)


def test_what_an_answer_has_no_room_for_is_requested_again() -> None:
    requests: list[list[str]] = []

    def two_at_a_time(request: httpx.Request) -> httpx.Response:
        asked = PullObjectsRequest.FromString(request.content)
        requests.append(list(asked.object_ids))
        answer = PullObjectsResponse()
        for object_id in asked.object_ids[:2]:
            there = object_id != "gone"
            answer.objects.add(
                object_found=there, object_available=there, object_content=object_id.encode()
            )
        return httpx.Response(200, content=answer.SerializeToString())

    found = routes_at(two_at_a_time).pull(PATH, NODE, 1, ["a", "gone", "b", "c", "d"])
    assert {key: each.object_content for key, each in found.items()} == {
        "a": b"a",
        "b": b"b",
        "c": b"c",
        "d": b"d",
    }
    assert requests == [["a", "gone", "b", "c", "d"], ["b", "c", "d"], ["d"]]


def test_a_server_that_answers_with_nothing_is_not_asked_for_ever() -> None:
    requests: list[str] = []

    def nothing(request: httpx.Request) -> httpx.Response:
        requests.append(request.url.path)
        return httpx.Response(200, content=b"")

    assert routes_at(nothing).pull(PATH, NODE, 1, ["a"]) == {}
    assert len(requests) == 1


def test_nothing_to_pull_needs_no_request() -> None:
    requests: list[str] = []
    assert routes_at(refusing(500, requests)).pull(PATH, NODE, 1, []) == {}
    assert requests == []


def test_pushed_objects_arrive_with_what_each_became_of() -> None:
    def store(request: httpx.Request) -> httpx.Response:
        pushed = PushObjectsRequest.FromString(request.content)
        assert (pushed.node, pushed.run_id, pushed.session_id) == (NODE, 7, "s")
        stored = [bool(content) for content in pushed.contents]
        assert list(pushed.object_ids) == ["a", "b"]
        return httpx.Response(200, content=PushObjectsResponse(stored=stored).SerializeToString())

    assert routes_at(store).push(PATH, NODE, 7, "s", {"a": [b"x", b"yz"], "b": [b""]}) == [
        True,
        False,
    ]


def test_a_wait_says_all_that_it_waits_for_and_outlasts_the_server() -> None:
    timeouts: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked = WaitRequest.FromString(request.content)
        timeouts.append(request.extensions["timeout"]["read"])
        assert asked == WaitRequest(
            node=NODE, seen=5, seconds=2.5, until=9, task_ids=[1, 2], run_ids=[2**64 - 1], ends=3
        )
        said = WaitResponse(count=8, ended_task_ids=[1], ended_run_ids=[2**64 - 1], ends=4)
        return httpx.Response(200, content=said.SerializeToString())

    routes = routes_at(answer)
    waited = routes.wait(
        PATH, NODE, 5, 2.5, until=9, task_ids=[1, 2], run_ids=[2**64 - 1], ends=3
    )
    assert waited == Waited(8, (1,), (2**64 - 1,), 4)
    assert timeouts[0] > 2.5


def test_a_server_of_an_older_release_tells_nothing_of_ends() -> None:
    answer = WaitResponse(count=8).SerializeToString()
    routes = routes_at(lambda _: httpx.Response(200, content=answer))
    assert routes.wait(PATH, NODE, 5, 2.5, run_ids=[1], ends=3) == Waited(8)


def test_an_unavailable_object_is_not_taken_for_an_empty_one() -> None:
    answer = PullObjectsResponse(objects=[PullObjectResponse(object_found=True)])
    routes = routes_at(lambda _: httpx.Response(200, content=answer.SerializeToString()))
    assert routes.pull(PATH, NODE, 1, ["a"]) == {}


def test_batches_hold_every_object_but_the_large_once() -> None:
    sizes = [1, BATCH_BYTES - 1, BATCH_BYTES, 2, BATCH_BYTES // 2, BATCH_BYTES // 2, 3]
    found = list(batches((str(n), [bytes(size - 1), b"x"]) for n, size in enumerate(sizes)))
    assert [key for batch in found for key in batch] == ["0", "1", "3", "4", "5", "6"]
    assert all(sum(map(size_of, batch.values())) <= BATCH_BYTES for batch in found)
    assert all(found)
