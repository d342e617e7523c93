"""A ServerApp's messages leave with their objects, and replies come with theirs."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from flwr.app import ArrayRecord, RecordDict
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Node, Reply, Run
from tests.waiting import wait_until

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import (
    BATCH_BYTES,
    PushReplyRequest,
    PushReplyResponse,
    TakeRepliesResponse,
)
from fedstate.flower.serverapp_client import ServerAppClient
from fedstate.grids.polling import PollingGrid
from fedstate.superlink.serverapp_routes import Answers


class Requests(httpx.BaseTransport):
    """The way to a SuperLink: requests are noted, and an answer may be lost."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self.paths: list[str] = []
        self.lose: set[str] = set()
        self.missing: set[str] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.paths.append(path)
        if path in self.missing:
            return httpx.Response(404, request=request)
        response = self._inner.handle_request(request)
        if path in self.lose:
            self.lose.discard(path)
            raise httpx.ReadError("as the test wants it")
        return response


@pytest.fixture
def requests(any_state: SuperLink, both: tuple[Run, Node]) -> Requests:
    client: Any = both[0].grid._runtime_client
    requests = Requests(any_state.transport)
    client._client = httpx.Client(transport=requests, timeout=client._client.timeout)
    return requests


def is_here(node: Node, pulled: Any) -> bool:
    """Return whether all of a message is there: it may have been sent in several requests."""
    (tree,) = pulled.message_object_trees
    run_id = pulled.messages_list[0].metadata.run_id
    return all(
        node.pull_object(run_id, each.object_id).object_available
        for each in iterate_object_tree(tree)
    )


def answering(node: Node, *contents: RecordDict) -> Callable[[], None]:
    """Let the node answer messages with these contents, on a thread; return what waits for it."""

    def answer() -> None:
        routes = ExtraRoutes(node.client)
        for each in contents:
            pulled = wait_until(lambda: (p := node.pull()).messages_list and p)
            wait_until(partial(is_here, node, pulled))
            reply = Reply(node.take(pulled), each)
            request = PushReplyRequest(
                node=node.proto,
                push=reply.request(node.proto),
                object_ids=reply.objects.keys(),
                contents=reply.objects.values(),
                confirm=True,
            )
            assert routes.call(paths.FLEET_REPLY, request, PushReplyResponse).stored

    thread = threading.Thread(target=answer)
    thread.start()
    return thread.join


def test_a_round_takes_two_requests(both: tuple[Run, Node], requests: Requests) -> None:
    run, node = both
    grid = PollingGrid(run.grid)
    for number in range(3):
        messages = [run.message(node.id, arrays(number, each)) for each in range(3)]
        finished = answering(node, *(arrays(10 * number + each) for each in range(3)))
        requests.paths.clear()
        replies = list(grid.send_and_receive(messages, timeout=60))
        finished()
        assert len(replies) == 3
        assert {paths.RUNTIME_SEND, paths.RUNTIME_TAKE} >= set(requests.paths)
        assert requests.paths.count(paths.RUNTIME_SEND) == 1
        for reply in replies:
            values = [
                each.numpy().flat[0] for each in reply.content.array_records["arrays"].values()
            ]
            assert values[0] in range(10 * number, 10 * number + 3)


def test_what_was_received_is_kept_no_longer_than_until_the_next_round(
    any_state: SuperLink, both: tuple[Run, Node], requests: Requests
) -> None:
    run, node = both
    grid = PollingGrid(run.grid)

    def step(number: int) -> str:
        finished = answering(node, arrays(number))
        (reply,) = grid.send_and_receive([run.message(node.id, arrays(number, 1))], timeout=60)
        finished()
        return reply.metadata.message_id

    first = step(1)
    store = any_state.state.object_store
    assert store.get(first)
    second = step(2)
    assert not store.get(first)
    assert store.get(second)


@pytest.mark.parametrize("missing", [paths.RUNTIME_TAKE, paths.RUNTIME_SEND])
def test_a_superlink_of_an_older_release_is_asked_once(
    both: tuple[Run, Node], requests: Requests, missing: str
) -> None:
    run, node = both
    requests.missing.add(missing)
    grid = PollingGrid(run.grid)
    for number in range(2):
        finished = answering(node, arrays(number))
        (reply,) = grid.send_and_receive([run.message(node.id, arrays(5))], timeout=60)
        finished()
        assert reply.content == arrays(number)
    assert requests.paths.count(missing) == 1


def test_replies_whose_answer_was_lost_come_again(
    both: tuple[Run, Node], requests: Requests
) -> None:
    run, node = both
    message_id = run.push(run.message(node.id, arrays(1)))
    node.answer(Reply(node.take(node.pull()), arrays(2)))
    requests.lose.add(paths.RUNTIME_TAKE)
    assert run.grid.take_replies(
        {message_id}, 10.0, gather_share=0.0, gather_seconds=0.0, sent_ago=0.0
    )
    assert requests.paths.count(paths.RUNTIME_TAKE) == 2
    (reply,) = run.pull(message_id)
    assert reply.content == arrays(2)
    assert "/v1/runtime/pull-messages" not in requests.paths


def test_who_asks_for_others_is_given_those_that_were_taken(
    both: tuple[Run, Node], requests: Requests
) -> None:
    run, node = both
    ids = [run.push(run.message(node.id, arrays(each))) for each in range(2)]
    for each in range(2):
        node.answer(Reply(node.take(node.pull()), arrays(7 + each)))
    run.grid.take_replies({ids[0]}, 10.0, gather_share=0.0, gather_seconds=0.0, sent_ago=0.0)
    replies = run.pull(*ids)
    assert {each.metadata.reply_to_message_id for each in replies} == set(ids)


def test_the_objects_of_a_large_message_follow_it(
    both: tuple[Run, Node], requests: Requests
) -> None:
    run, node = both
    large = arrays(1, 2)
    # Of pieces that are not equal: each is sent once.
    values = np.random.default_rng(1).integers(0, 256, BATCH_BYTES + 8, np.uint8)
    large["large"] = ArrayRecord([values])
    finished = answering(node, large)
    (reply,) = PollingGrid(run.grid).send_and_receive([run.message(node.id, large)], timeout=60)
    finished()
    assert reply.content == large
    assert requests.paths.count(paths.RUNTIME_SEND) == 1
    assert requests.paths.count(paths.RUNTIME_PUSH) == 2
    assert "/v1/runtime/push-messages" not in requests.paths
    assert "/v1/runtime/push-object" not in requests.paths


class Outermost:
    """The lock of a state in memory; it is never waited for with one of flwr's held."""

    def __init__(self, state: Any) -> None:
        self._state, self._lock, self._depth = state, threading.RLock(), 0

    def __enter__(self) -> None:
        assert self._depth or not self._state.lock._is_owned(), "flwr's lock is held already"
        self._lock.acquire()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        self._lock.release()


def test_what_is_done_at_once_in_memory_keeps_no_lock_of_flwrs(
    any_state: SuperLink, both: tuple[Run, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of flwr's methods takes several, in its own order: whoever began a run would wait."""
    state: Any = any_state.state
    if not hasattr(state, "_alone"):
        pytest.skip("a database has transactions")
    locks = {key: each for key, each in vars(state).items() if hasattr(each, "acquire")}
    del locks["_alone"]
    assert "lock_task_store" in locks

    def is_held(lock: Any) -> bool:
        if lock.acquire(blocking=False):
            lock.release()
            return False
        return True

    with state.at_once(), ThreadPoolExecutor(1) as others:
        assert not [key for key, each in locks.items() if others.submit(is_held, each).result()]
    monkeypatch.setattr(state, "_alone", Outermost(state))
    run, node = both
    finished = answering(node, arrays(2))
    (reply,) = PollingGrid(run.grid).send_and_receive(
        [run.message(node.id, arrays(1))], timeout=60
    )
    finished()
    assert reply.content == arrays(2)


def test_the_grid_has_this_client(both: tuple[Run, Node]) -> None:
    assert isinstance(both[0].grid._runtime_client, ServerAppClient)


def test_answers_are_kept_until_they_have_arrived_or_are_too_many() -> None:
    answers = Answers(most_bytes=100)
    small = TakeRepliesResponse(contents=[b"x" * 40])
    answers.keep(1, 1, small)
    answers.keep(2, 1, small)
    assert answers.to(1, 1) is small
    assert answers.to(1, 2) is None
    answers.forget(1, 1)
    answers.forget(1, 1)
    assert answers.to(1, 1) is None
    answers.keep(3, 1, small)
    answers.keep(4, 1, small)
    oldest = answers.to(2, 1)
    assert oldest is not None, "only its objects go first"
    assert not oldest.contents
    assert answers.to(4, 1) is small
    large = TakeRepliesResponse(contents=[b"x" * 400])
    answers.keep(5, 1, large)
    assert answers.to(5, 1) is large, "the last one is kept, however large"
    assert answers.to(4, 1) is None, "and then the oldest answers"
