"""The Grid of a ServerApp: flwr's `HttpGrid` with our client, over a real SuperLink."""

import threading
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import ArrayRecord, RecordDict
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse
from flwr.serverapp import Grid
from flwr.supercore.inflatable import inflatable_utils
from flwr.superlink.grid import HttpGrid, http_grid
from flwr.superlink.grid.inmemory_grid import InMemoryGrid
from tests.contract.flower.in_process import SuperLink, arrays
from tests.contract.flower.in_process_run import Node, Reply, Run
from tests.waiting import wait_until

from fedstate.exchange import client
from fedstate.exchange.signals import SOON_SECONDS
from fedstate.executor.serverapp import WaitingGrid
from fedstate.flower import arriving
from fedstate.flower.engine import engine_of
from fedstate.flower.pull_backoff import patch_pull_backoff
from fedstate.large.spool import ArrayOfPieces


@pytest.fixture
def grid(superlink: SuperLink, run: Run) -> WaitingGrid:
    """The run's Grid, as it is made in the process of a ServerApp."""
    grid = WaitingGrid(superlink.address, insecure=True, token=run.order.token)
    grid._connect()
    superlink.reach(grid._runtime_client)
    grid.set_run(run.grid.run)
    return grid


def replying(node: Node, count: int) -> Callable[[], None]:
    """Let the node answer so many messages, on a thread; return what waits for its end."""

    def answer() -> None:
        for number in range(count):
            pulled = wait_until(lambda: (p := node.pull()).messages_list and p)
            node.answer(Reply(node.take(pulled), arrays(number)))

    thread = threading.Thread(target=answer)
    thread.start()
    return thread.join


def test_messages_are_sent_and_their_replies_received(
    grid: WaitingGrid, run: Run, node: Node
) -> None:
    messages = [run.message(node.id, arrays(n, n + 1)) for n in range(3)]
    finished = replying(node, 3)
    replies = list(grid.send_and_receive(messages, timeout=60))
    finished()
    sent = {each.metadata.message_id for each in messages}
    assert {each.metadata.reply_to_message_id for each in replies} == sent
    assert node.id in grid.get_node_ids()


def test_a_large_reply_waits_in_a_file(
    run: Run, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving, "KEPT_BYTES", 10_000)
    large = RecordDict({"a": ArrayRecord([np.arange(900_000.0), np.arange(5), np.ones(1000)])})
    message_id = run.push(run.message(node.id, large))
    message = node.take(node.pull())
    node.answer(Reply(message, large))
    (reply,) = run.pull(message_id)
    assert reply.content == large
    assert isinstance(reply.content.array_records["a"]["0"], ArrayOfPieces)
    assert reply.metadata.message_id
    assert run.reply(message_id).has_error(), "it was confirmed, and is gone"
    # A ServerApp may send on what it was sent.
    node_message_id = run.push(run.message(node.id, reply.content))
    again = node.take(node.pull())
    assert again.content == large
    assert again.metadata.message_id == node_message_id


def test_a_reply_that_is_gone_is_an_error_as_by_flwrs_grid(
    run: Run, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[tuple[object, ...]] = []
    for pull in (run.grid.pull_messages, partial(HttpGrid.pull_messages, run.grid)):
        message_id = run.push(run.message(node.id, arrays(1)))
        node.announce(Reply(node.take(node.pull()), arrays(len(outcomes) + 7)))

        def lost(_: PullObjectRequest) -> PullObjectResponse:
            return PullObjectResponse()

        with monkeypatch.context() as patch:
            patch.setattr(run.grid._runtime_client, "PullObject", lost)
            (reply,) = pull([message_id])
        assert reply.metadata.reply_to_message_id == message_id
        reason = str(reply.error.reason)[:90]
        outcomes.append((vars(reply.metadata).keys(), reply.error.code, reason))
    assert outcomes[0] == outcomes[1]


def test_our_grid_is_notified_of_a_reply(superlink: SuperLink, run: Run, node: Node) -> None:
    message_id = run.push(run.message(node.id, arrays(1)))

    def quiet() -> int | None:
        """Return the count; what an earlier test has pushed is told a moment later."""
        seen = run.grid.wait_for_replies(0, 10)
        assert seen is not None
        return seen if run.grid.wait_for_replies(seen, 2 * SOON_SECONDS) == seen else None

    seen = wait_until(quiet)
    assert seen is not None
    assert seen == superlink.signals.replies.count
    node.answer(Reply(node.take(node.pull()), arrays(2)))
    wait_until(lambda: (run.grid.wait_for_replies(seen, 1) or 0) > seen)
    assert len(run.pull(message_id)) == 1


def test_our_grid_shows_what_flwrs_shows_to_the_superlink(run: Run) -> None:
    """Its `_connect` stands in for flwr's, which makes the client itself."""
    ours = run.grid._runtime_client
    theirs = HttpGrid("superlink:1", insecure=True, token="token")
    theirs._connect()
    flwrs = theirs._runtime_client
    assert isinstance(ours, type(flwrs))
    assert [type(each) for each in ours._interceptors] == [
        type(each) for each in flwrs._interceptors
    ]
    assert ours._base_url == flwrs._base_url
    assert ours._retry_invoker is run.grid._retry_invoker
    theirs.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect how long `pull_objects` would pause; it pauses for a moment only."""
    pauses: list[float] = []

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            return super().wait(0.02)

    there = "flwr.supercore.inflatable.inflatable_utils.threading"
    monkeypatch.setattr(there, SimpleNamespace(Event=Waiting, Lock=threading.Lock))
    return pauses


def late(run: Run, node: Node) -> str:
    """Announce a reply whose objects come only after the ServerApp has looked for them."""
    message_id = run.push(run.message(node.id, arrays(1)))
    reply = Reply(node.take(node.pull()), arrays(2))
    announced = node.announce(reply)
    looked = threading.Event()
    pull_object = run.grid._runtime_client.PullObject

    def pull(request: PullObjectRequest) -> PullObjectResponse:
        answer = pull_object(request)
        # Some objects may be there already: the SuperLink keeps those of other messages.
        if not answer.object_available and not looked.is_set():
            looked.set()
            assert all(node.upload(reply, announced.session_id, announced.objects_to_push))
        return answer

    run.grid._runtime_client.PullObject = pull  # type: ignore[method-assign]
    return message_id


def test_a_part_on_its_way_is_looked_for_again_soon(
    run: Run, node: Node, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_grid, "pull_objects", inflatable_utils.pull_objects)
    monkeypatch.setattr(client, "PULL_SECONDS", 0.0)
    patch_pull_backoff(run.grid)
    for pull in (run.grid.pull_messages, partial(HttpGrid.pull_messages, run.grid)):
        pauses.clear()
        (reply,) = pull([late(run, node)])
        assert reply.content == arrays(2)
        assert min(pauses) < 0.1


def test_flwrs_grid_pauses_for_a_second(
    run: Run, node: Node, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When this fails, `fedstate.flower.pull_backoff` may have become needless."""
    monkeypatch.setattr(http_grid, "pull_objects", inflatable_utils.pull_objects)
    monkeypatch.setattr(client, "PULL_SECONDS", 0.0)
    message_id = late(run, node)
    (reply,) = HttpGrid.pull_messages(run.grid, [message_id])
    assert reply.content == arrays(2)
    assert min(pauses) >= 0.7


def test_the_engine_is_known_by_its_grid(
    superlink: SuperLink, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEDSTATE_ENGINE", raising=False)
    simulated: Grid = InMemoryGrid(superlink.app.state.linkstate_factory)
    assert engine_of(simulated) == "simulation"
    assert engine_of(run.grid) == "processes"
