"""The client that moves many objects in one request, at a server that the test makes."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from flwr.app.message.arraychunk import ArrayChunk
from flwr.proto.message_pb2 import ObjectTree, PullObjectRequest
from flwr.proto.runtime_pb2 import PullAppMessagesResponse

from fedstate.exchange import paths
from fedstate.exchange.messages import BATCH_BYTES, PullObjectsRequest, PullObjectsResponse
from fedstate.flower.object_client import BatchingRuntimeClient, fit

AT_ONCE = 3
REPLIES = {
    f"reply {number}": [f"chunk {number}.{each}" for each in range(10)] for number in range(5)
}


class Server(httpx.BaseTransport):
    """Hands out so many objects in an answer, but for those that have not arrived."""

    def __init__(self) -> None:
        self.absent: set[str] = set()
        self.requests: list[list[str]] = []
        self.on_request: Callable[[list[str]], None] = lambda _: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == paths.RUNTIME_PULL
        asked = PullObjectsRequest.FromString(request.read()).object_ids
        self.requests.append(list(asked))
        self.on_request(list(asked))
        answer = PullObjectsResponse()
        for each in asked[:AT_ONCE]:
            there = each not in self.absent
            content = each.encode() if there else b""
            answer.objects.add(object_found=True, object_available=there, object_content=content)
        headers = {"content-type": "application/x-protobuf"}
        return httpx.Response(200, content=answer.SerializeToString(), headers=headers)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> BatchingRuntimeClient:
    client = BatchingRuntimeClient("http://server")
    client._client = httpx.Client(transport=server)
    trees = [
        ObjectTree(object_id=reply, children=[ObjectTree(object_id=each) for each in chunks])
        for reply, chunks in REPLIES.items()
    ]
    client.announce(PullAppMessagesResponse(message_object_trees=trees))
    return client


def pull(client: BatchingRuntimeClient, object_id: str) -> bytes:
    return bytes(client.PullObject(PullObjectRequest(object_id=object_id)).object_content)


def test_no_more_than_an_answer_is_here_before_it_is_asked_for(
    client: BatchingRuntimeClient, server: Server
) -> None:
    """A ServerApp would have the replies of all nodes in memory, however large they are."""
    ids = [each for reply, chunks in REPLIES.items() for each in [*chunks, reply]]
    for each in ids:
        assert pull(client, each) == each.encode()
        assert len(client._pulled) < AT_ONCE
    assert len(server.requests) == -(-len(ids) // AT_ONCE)
    assert not any(map(client.has_pulled_at_once, REPLIES))


def test_a_message_that_comes_later_is_asked_for_again_before_others(
    client: BatchingRuntimeClient, server: Server
) -> None:
    first, second, *_ = REPLIES.values()
    server.absent = {*first, "reply 0"}
    assert pull(client, second[0]) == second[0].encode()
    server.absent.clear()
    server.requests.clear()
    assert pull(client, first[0]) == first[0].encode()
    assert [asked[:AT_ONCE] for asked in server.requests] == [first[:AT_ONCE]]


def test_while_one_message_is_waited_for_no_others_gather(
    client: BatchingRuntimeClient, server: Server
) -> None:
    """Its objects come one by one; all of the others are there."""
    first = [*REPLIES["reply 0"], "reply 0"]
    server.absent = set(first)

    def arrive(asked: list[str]) -> None:
        late = [each for each in asked if each in server.absent]
        server.absent -= set(late[:1])

    server.on_request = arrive
    for each in first:
        assert pull(client, each) == each.encode()
        assert len(client._pulled) <= 2 * AT_ONCE
    for reply, chunks in list(REPLIES.items())[1:]:
        for each in [*chunks, reply]:
            assert pull(client, each) == each.encode()


def test_what_somebody_else_keeps_is_not_kept_for_other_messages(
    client: BatchingRuntimeClient,
) -> None:
    trees = [
        ObjectTree(object_id=each, children=[ObjectTree(object_id="shared")]) for each in "ab"
    ]
    client.announce(PullAppMessagesResponse(message_object_trees=trees))
    assert pull(client, "shared") == b"shared"
    assert "shared" in client._pulled
    client.let_go("shared")
    assert "shared" not in client._pulled


class OnDisk:
    """An array whose bytes are read for whoever asks."""

    @property
    def data(self) -> bytes:
        raise AssertionError("it is read for its size alone")


@pytest.mark.parametrize(("size", "fits"), [(BATCH_BYTES - 1, True), (BATCH_BYTES, False)])
def test_what_fits_into_a_request_is_told_without_reading_an_array(size: int, fits: bool) -> None:
    objects: dict[str, Any] = {"array": OnDisk(), "chunk": ArrayChunk(memoryview(bytes(size)))}
    assert fit(objects) is fits
