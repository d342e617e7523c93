"""Steps with a real store, a real node state, and flwr's real SuperLink in this process."""

import httpx
import pytest
from flwr.app import Error
from tests.unit.superlink_in_process import Handle, SuperLink, answers, arrays, breaks, reply_to
from tests.unit.supernode.stepping import REPLY, Node, no_complaints
from tests.waiting import wait_until

from fedstate.flower.errors import ErrorCode
from fedstate.flower.stored_values import Envelope
from fedstate.large.context import SplitContext


@pytest.fixture
def node(stepping_node: Node) -> Node:
    return stepping_node


def test_a_reply_leaves_after_its_state_is_durable_and_is_noted_after_that(
    node: Node, run_id: int, log: pytest.LogCaptureFixture
) -> None:
    message_id = node.pull_new(run_id)
    assert node.status(message_id) == "received"
    statuses = []

    def look(handle: Handle) -> httpx.Response:
        statuses.append((node.status(message_id), node.count(step.series_id)))
        return handle()

    node.connection.plan(REPLY, look)
    step = node.take_task(run_id)
    node.train(step)
    node.wait_for_end()
    assert statuses == [("committed", 1)]
    assert node.status(message_id) == "answered"
    assert not node.reply(run_id, message_id).has_error()
    assert log.text.count("Sent: train message") == 1
    # Nothing of it is left in memory, nor at the SuperLink.
    assert node.state.reply_to(message_id) is None
    assert len(node.state.object_store) == 0
    assert not node.superlink.keeps(message_id)


def test_a_full_disk_fails_the_step_and_keeps_the_state(node: Node, run_id: int) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    # SQLite then says the same as on a disk that is full.
    (pages,) = node.store._db.execute("PRAGMA page_count").fetchone()
    node.store._db.execute(f"PRAGMA max_page_count = {pages}")
    filler = arrays(200_000)
    (message,) = node.state.get_messages_legacy(run_ids=[run_id], is_reply=False, limit=1)
    envelope, objects = reply_to(step.envelope, filler)
    session = node.state.start_session(run_id)
    _, wanted = node.state.store_message_and_object_tree(envelope.message, envelope.tree, session)
    for object_id in wanted:
        assert node.state.store_object(run_id, session, object_id, objects[object_id])
    context = node.state.get_run_series_context(step.series_id)
    assert context is not None
    node.steps.complete(step, SplitContext.split(context))
    reply = node.reply(run_id, message.metadata.message_id)
    assert reply.has_error()
    assert "is full" in (reply.error.reason or "")
    assert node.count(step.series_id) == 0
    node.store._db.execute("PRAGMA max_page_count = 1000000")
    node.wait_for_end()
    # Its message may be sent again, and then the step is made.
    node.superlink.send_again(message_id)
    node.pull()
    node.train(node.take_task(run_id))
    assert not node.reply(run_id, message_id).has_error()
    assert node.count(step.series_id) == 1


def test_a_message_that_is_pulled_twice_is_one_step(node: Node, run_id: int) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    node.steps.receive(step.envelope)
    node.train(step)
    node.wait_for_end()
    assert node.count(step.series_id) == 1
    assert not node.tasks(run_id)
    assert node.status(message_id) == "answered"


def test_steps_of_a_series_follow_each_other_and_those_of_others_do_not_wait(
    node: Node, superlink: SuperLink, run_id: int
) -> None:
    other = superlink.start_run()
    messages = [node.pull_new(run_id) for _ in range(3)]
    node.pull_new(other)
    first, elsewhere = node.take_task(run_id), node.take_task(other)
    assert first.message_id == messages[0]
    assert not node.tasks(run_id)
    node.train(first)
    second = node.take_task(run_id)
    assert second.message_id == messages[1]
    node.train(elsewhere)
    node.train(second)
    third = node.take_task(run_id)
    assert third.message_id == messages[2]
    node.train(third)
    node.wait_for_end()
    assert node.count(first.series_id) == 3
    assert node.count(elsewhere.series_id) == 1


def test_the_next_supernode_goes_on_with_what_the_last_one_left(
    node: Node, superlink: SuperLink, run_id: int
) -> None:
    other = superlink.start_run()
    waiting = node.pull_new(run_id)
    node.take_task(run_id)
    committed = node.pull_new(other)
    node.connection.down(REPLY, breaks(httpx.ConnectError, after=False))
    step = node.take_task(other)
    node.train(step)
    assert node.status(committed) == "committed"
    node.steps.close()
    node.connection.up()
    reply = node.store.reply(committed)
    assert reply is not None
    node.store.close()

    node.start()
    node.steps.resume()
    assert not node.reply(other, committed).has_error()
    node.train(node.take_task(run_id))
    assert not node.reply(run_id, waiting).has_error()
    node.wait_for_end()
    assert node.count(step.series_id) == 1


def test_a_message_of_a_run_that_has_ended_is_ignored(
    node: Node, superlink: SuperLink, run_id: int, log: pytest.LogCaptureFixture
) -> None:
    node.send(run_id)

    def late(envelope: Envelope) -> None:
        superlink.end_run(run_id)
        node.steps.receive(envelope)

    assert node.link.receive(late)
    assert not node.steps.under_way
    assert f"Run {run_id} has ended; its message is ignored." in log.text
    assert no_complaints(log)


def test_a_run_that_ends_is_dropped_where_it_waits_and_where_it_is_worked_on(
    node: Node, superlink: SuperLink, run_id: int, log: pytest.LogCaptureFixture
) -> None:
    other = superlink.start_run()
    messages = [node.pull_new(run_id) for _ in range(3)]
    kept = node.pull_new(other)
    step, elsewhere = node.take_task(run_id), node.take_task(other)
    assert step.task_id is not None
    assert elsewhere.task_id is not None
    told: list[list[int]] = []
    node.steps.on_end = lambda: told.append(node.state.ended_tasks([step.task_id or 0]))
    superlink.end_run(run_id)
    node.steps.end_run(run_id)
    wait_until(lambda: not node.steps.running(run_id))
    assert [node.status(each) for each in messages] == [None, None, None]
    assert told[0] == [step.task_id], "its executor is told once the task has no access"
    assert node.state.task_token_store.keys() == {elsewhere.task_id}
    assert node.state.ended_tasks([step.task_id, elsewhere.task_id]) == [step.task_id]
    assert node.connection.count(REPLY) == 0
    # What its ClientApp says until it has ended changes nothing, nor does a second word of it.
    node.steps.fail(step, "late")
    node.steps.end_run(run_id)
    assert node.count(step.series_id) == 0
    assert node.status(kept) == "received"
    node.train(elsewhere)
    assert not node.reply(other, kept).has_error()
    node.wait_for_end()
    assert len(node.state.object_store) == 0
    assert no_complaints(log)


def test_what_a_run_has_committed_stays_when_it_ends(
    node: Node, superlink: SuperLink, run_id: int
) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    node.connection.down(REPLY, breaks(httpx.ConnectError, after=False))
    node.train(step)
    superlink.end_run(run_id)
    node.steps.end_run(run_id)
    assert node.status(message_id) == "committed"
    node.connection.up()
    node.wait_for_end()
    assert node.status(message_id) == "answered"
    assert node.count(step.series_id) == 1


def test_a_message_that_comes_after_the_end_of_its_run_starts_nothing(
    node: Node, superlink: SuperLink, run_id: int
) -> None:
    """It was on its way; the run is known here, and the SuperLink is not asked."""
    node.pull_new(run_id)
    node.train(node.take_task(run_id))
    node.wait_for_end()
    node.send(run_id)

    def late(envelope: Envelope) -> None:
        superlink.end_run(run_id)
        node.steps.end_run(run_id)
        asked = node.connection.count("get-run")
        node.steps.receive(envelope)
        wait_until(lambda: not node.steps.under_way)
        assert node.connection.count("get-run") == asked

    assert node.link.receive(late)
    assert not node.store.steps("received")
    assert not node.tasks(run_id)


def test_the_steps_of_a_run_that_ended_while_the_node_was_down_are_dropped(
    node: Node, superlink: SuperLink, run_id: int
) -> None:
    message_id = node.pull_new(run_id)
    node.take_task(run_id)
    node.kill()
    superlink.end_run(run_id)

    node.start()
    node.steps.resume()
    ended = node.link.wait_for_messages(node.steps.runs.going())
    assert ended == (run_id,)
    node.steps.end_run(run_id)
    node.wait_for_end()
    assert node.status(message_id) is None


def test_a_message_that_cannot_be_kept_is_answered_before_the_next_is_pulled(
    node: Node, run_id: int
) -> None:
    node.refused = "The FAB could not be verified."
    node.connection.plan(REPLY, answers(500))
    message_id = node.pull_new(run_id)
    reply = node.superlink.take_reply(run_id, message_id)
    assert reply is not None
    assert reply.error.code == ErrorCode.INVALID_FAB
    assert node.status(message_id) is None
    assert not node.steps.under_way


@pytest.mark.parametrize("how", ["error", "failed", "silent", "expired"])
def test_a_step_that_fails_leaves_nothing(node: Node, run_id: int, how: str) -> None:
    message_id = node.pull_new(run_id)
    step = node.take_task(run_id)
    if how == "error":
        node.train(step, Error(ErrorCode.CLIENT_APP_RAISED, "raised"))
    elif how == "failed":
        node.steps.fail(step, "The ClientApp vanished.")
    elif how == "silent":
        context = node.state.get_run_series_context(step.series_id)
        assert context is not None
        node.steps.complete(step, SplitContext.split(context))
    else:
        assert step.task_id is not None
        node.state.expire_tasks([step.task_id])
    reply = node.reply(run_id, message_id)
    expected = ErrorCode.CLIENT_APP_RAISED if how == "error" else ErrorCode.CLIENT_APP_CRASHED
    assert reply.error.code == expected
    node.wait_for_end()
    assert node.status(message_id) is None
    assert node.count(step.series_id) == 0
    assert len(node.state.object_store) == 0
    # What is heard of it afterwards changes nothing.
    node.steps.fail(step, "again")
    assert not node.steps.under_way
