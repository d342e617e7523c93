"""Large messages at our SuperLink: their content is in files, whichever route it takes.

A size of a few megabytes is what the routes stream; flwr's own clients and ours see what they see
at flwr's SuperLink.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from tests.contract.flower.in_process import SuperLink
from tests.contract.flower.in_process_run import Node, Reply, Run, running
from tests.contract.flower.test_superlink_objects import (
    push_at_once,
    push_in_batches,
    push_one_by_one,
    push_reply,
)
from tests.small_disk import fill, small_disk

from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes
from fedstate.exchange.messages import TakeRequest, TakeResponse
from fedstate.flower.errors import ErrorCode
from fedstate.flower.run_objects import FleetApi
from fedstate.objects.contents import StoredContent
from fedstate.objects.streaming import STREAMED_BYTES

PUSHES = [push_one_by_one, push_in_batches, push_at_once]
_seeds = iter(range(1_000_000))


def content(*megabytes: float) -> RecordDict:
    """Return records with an array of each size, none like any before."""
    random = np.random.default_rng(next(_seeds))
    sizes = [int(each * 2**20 / 8) for each in megabytes]
    return RecordDict({"arrays": ArrayRecord([random.standard_normal(size) for size in sizes])})


def names(superlink: SuperLink) -> set[str]:
    return {each.name for each in superlink.state.files.directory.iterdir()} - {"lock"}


def sent(run: Run, node: Node, *megabytes: float) -> tuple[str, Message]:
    """Send a large message to a node, which pulls it; return its ID and what the node has."""
    message_id = run.push(run.message(node.id, content(*megabytes)))
    return message_id, node.take(node.pull())


@pytest.mark.parametrize("push", PUSHES)
def test_a_large_message_and_its_reply_arrive_whole_by_every_route(
    superlink: SuperLink,
    run: Run,
    node: Node,
    push: Callable[[ExtraRoutes, Node, Reply], None],
) -> None:
    before = names(superlink)
    message = run.message(node.id, content(3, 0.001, 2.5, 0.5))
    run.push(message)
    assert names(superlink) > before, "nothing is in a file"
    pulled = node.pull()
    taken = node.take(pulled)
    assert taken.content == message.content
    (tree,) = pulled.message_object_trees
    ids = list(dict.fromkeys(each.object_id for each in iterate_object_tree(tree)))
    exchange = ExtraRoutes(node.client)
    together = exchange.pull(paths.FLEET_PULL, node.proto, run.id, ids)
    for each, found in together.items():
        assert found.object_content == node.pull_object(run.id, each).object_content
    assert set(together) == set(ids)
    reply = Reply(taken, content(2.5, 3, 0.01))
    push(exchange, node, reply)
    assert run.reply(taken.metadata.message_id).content == reply.message.content
    node.confirm(taken)
    assert names(superlink) == before, "files are left of messages that are gone"


def test_rows_and_traffic_of_a_large_message_are_as_of_any_other(
    superlink: SuperLink, run: Run, node: Node
) -> None:
    _, message = sent(run, node, 3)
    (info,) = superlink.state.get_run_info(run_ids=[run.id])
    assert info.bytes_sent > 3 * 2**20
    before = info.bytes_recv
    node.answer(Reply(message, content(2)))
    (info,) = superlink.state.get_run_info(run_ids=[run.id])
    assert info.bytes_recv - before > 2 * 2**20
    largest = "SELECT max(length(content)) AS size FROM objects"
    assert superlink.state.query(largest)[0]["size"] < STREAMED_BYTES


def test_the_end_of_a_run_deletes_its_files(superlink: SuperLink) -> None:
    before = names(superlink)
    with running(superlink) as (run, node):
        sent(run, node, 3, 2)
        assert names(superlink) > before
        superlink.state.stop_run(run.id)
        assert names(superlink) == before


def test_one_file_of_the_same_model_for_all_nodes(superlink: SuperLink, run: Run) -> None:
    before = names(superlink)
    model = content(3)
    nodes = [Node(superlink) for _ in range(3)]
    ids = [run.push(run.message(node.id, model)) for node in nodes]
    files = names(superlink) - before
    assert len(files) == 1, "a model is kept once, however many nodes it is for"
    for number, node in enumerate(nodes):
        taken = node.take(node.pull())
        assert taken.content == model
        node.confirm(taken)
        left = names(superlink) & files
        assert left == (files if number < 2 else set())
        node.client.close()
    assert len(set(ids)) == 3


def damaged(superlink: SuperLink, names_of: set[str]) -> None:
    for name in names_of:
        with superlink.state.files.path(name).open("r+b") as file:
            file.seek(100_000)
            file.write(os.urandom(16))


def missing(superlink: SuperLink, names_of: set[str]) -> None:
    for name in names_of:
        superlink.state.files.path(name).unlink()


DAMAGES = {"changed": damaged, "missing": missing}


@pytest.mark.allowed_errors(r"The content of object \w+ cannot be handed out")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_message_is_an_error_for_it_and_can_be_sent_again(
    superlink: SuperLink, run: Run, node: Node, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = names(superlink)
    model = content(3)
    run.push(run.message(node.id, model))
    file = names(superlink) - before
    DAMAGES[damage](superlink, file)
    pulled = node.pull()
    (tree,) = pulled.message_object_trees
    (leaf,) = [
        each.object_id
        for each in iterate_object_tree(tree)
        if each.object_id in _large(superlink)
    ]
    for _ in range(2):
        assert not node.pull_object(run.id, leaf).object_found
        together = ExtraRoutes(node.client).pull(paths.FLEET_PULL, node.proto, run.id, [leaf])
        assert together == {}
    assert leaf in caplog.text
    assert next(iter(file)) in caplog.text
    # As after an error reply: the same model goes out again, and now it arrives.
    run.push(run.message(node.id, model))
    assert node.take(node.pull()).content == model


def _large(superlink: SuperLink) -> set[str]:
    rows = superlink.state.query("SELECT object_id FROM fedstate_object_place")
    return {row["object_id"] for row in rows}


@pytest.mark.allowed_errors(r"The content of object \w+ cannot be handed out")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_reply_is_an_error_message_for_the_serverapp(
    superlink: SuperLink, run: Run, node: Node, damage: str
) -> None:
    message_id, message = sent(run, node, 0.01)
    before = names(superlink)
    node.answer(Reply(message, content(3)))
    DAMAGES[damage](superlink, names(superlink) - before)
    reply = run.reply(message_id)
    assert reply.has_error()
    assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE


@pytest.mark.allowed_errors(r"The content of object \w+ cannot be handed out")
@pytest.mark.parametrize("damage", [*DAMAGES, "unreadable"])
def test_what_cannot_be_read_keeps_no_message_from_being_taken(
    superlink: SuperLink, run: Run, node: Node, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take() -> Any:
        request = TakeRequest(node=node.proto, again=True)
        return ExtraRoutes(node.client).call(paths.FLEET_TAKE, request, TakeResponse)

    def unreadable(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def harm(before: set[str]) -> None:
        if damage in DAMAGES:
            DAMAGES[damage](superlink, names(superlink) - before)
        else:
            monkeypatch.setattr(StoredContent, "read", unreadable)

    before = names(superlink)
    message_id = run.push(run.message(node.id, content(3)))
    large = _large(superlink)
    harm(before)
    taken = take()
    assert [each.metadata.message_id for each in taken.pulled.messages_list] == [message_id]
    assert message_id in taken.object_ids
    assert not large & set(taken.object_ids)
    monkeypatch.undo()
    message_id, message = sent(run, node, 0.01)
    before = names(superlink)
    node.answer(Reply(message, content(3)))
    harm(before)
    run.grid.take_replies({message_id}, 5, gather_share=0, gather_seconds=0, sent_ago=0)
    monkeypatch.undo()
    assert run.reply(message_id).has_error() == (damage in DAMAGES)


def test_a_file_stays_with_what_is_done_at_once_or_goes_with_it(
    superlink: SuperLink, run: Run, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, message = sent(run, node, 0.01)
    before = names(superlink)
    reply, exchange = Reply(message, content(3)), ExtraRoutes(node.client)

    def fail(*_: object) -> None:
        assert names(superlink) > before
        raise ValueError("as the test wants it")

    monkeypatch.setattr(FleetApi, "delete_message", fail)
    with pytest.raises(httpx.HTTPStatusError):
        push_reply(exchange, node, reply, confirm=True)
    assert names(superlink) == before
    monkeypatch.undo()
    assert reply.id in push_reply(exchange, node, reply, confirm=True)
    assert names(superlink) > before
    assert run.reply(message.metadata.message_id).content == reply.message.content


def test_a_content_that_is_not_the_objects_is_not_stored(
    superlink: SuperLink, run: Run, node: Node
) -> None:
    before = names(superlink)
    _, message = sent(run, node, 0.01)
    reply = Reply(message, content(3))
    announced = node.announce(reply)
    due = {key: reply.objects[key] for key in announced.objects_to_push}
    largest = max(due, key=lambda key: len(due[key]))
    forged = {key: [each] for key, each in due.items()}
    forged[largest] = [due[largest][:-1], b"!"]
    exchange = ExtraRoutes(node.client)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedstate.flower.bulk_state.logger.error", lambda *_: None)
        stored = exchange.push(paths.FLEET_PUSH, node.proto, run.id, announced.session_id, forged)
    assert stored == [key != largest for key in forged]
    assert names(superlink) == before


@pytest.fixture
def own(tmp_path: Path) -> Callable[[], Any]:
    """A SuperLink on a database of its own, which can be started again."""
    directory = tmp_path / "own"
    directory.mkdir()
    return lambda: SuperLink(directory)


def test_messages_outlive_the_superlink_and_what_arrived_in_part_does_not(
    own: Callable[[], Any],
) -> None:
    with own() as first:
        with running(first) as (run, node):
            message = run.message(node.id, content(3))
            run.push(message)
            run_id = run.id
            pulled = node.pull()
        first.state.files.path("left").write_bytes(b"...")
        kept = names(first) - {"left"}
    with own() as again:
        assert names(again) == kept
        (tree,) = pulled.message_object_trees
        for each in iterate_object_tree(tree):
            assert again.state.get_object(run_id, each.object_id)


def test_a_database_of_an_older_release_is_gone_on_with(own: Callable[[], Any]) -> None:
    """There everything is in rows; it stays there until its message is gone."""
    with own() as first, running(first) as (run, node):
        message = run.message(node.id, content(3))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fedstate.flower.bulk_objects.STREAMED_BYTES", 2**40)
            patch.setattr("fedstate.objects.streaming.STREAMED_BYTES", 2**40)
            run.push(message)
        assert names(first) == set()
        first.close()
        shutil.rmtree(first.state.files.directory)
        with closing(sqlite3.connect(first.state._engine.url.database)) as database:
            database.execute("DROP TABLE fedstate_object_place")
        with own() as newer:
            node.client = newer.fleet_client(node.key)
            taken = node.take(node.pull())
            assert taken.content == message.content
            node.confirm(taken)
            assert newer.state.query("SELECT count(*) AS n FROM objects") == [{"n": 0}]


@pytest.mark.allowed_errors(r"The contents of a message cannot be kept")
def test_a_full_disk_refuses_a_message_and_harms_no_other(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "size=30m") as disk,
        SuperLink(disk) as superlink,
        running(superlink) as (run, node),
    ):
        _, message = sent(run, node, 3)
        fill(disk / "filled")
        reply = Reply(message, content(4))
        (disk / "filled").write_bytes(b"\0" * ((disk / "filled").stat().st_size - 2**20))
        before = names(superlink)
        announced = node.announce(reply)
        due = list(announced.objects_to_push)
        with pytest.raises(httpx.HTTPStatusError) as refused:
            node.upload(reply, announced.session_id, due)
        assert refused.value.response.status_code == 507
        assert "disk is full" in refused.value.response.text
        assert names(superlink) == before
        (disk / "filled").unlink()
        left = [each for each in due if not superlink.state.get_object(run.id, each)]
        assert all(node.upload(reply, announced.session_id, left))
        taken = run.reply(message.metadata.message_id)
        assert taken.content == reply.message.content
