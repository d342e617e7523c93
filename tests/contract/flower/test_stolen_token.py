"""A thief with a task's token sends the output of its step: it is stored, and found."""

from contextlib import ExitStack
from pathlib import Path

from flwr.app import Context, Message, MetricRecord, RecordDict
from tests.contract.flower.in_process import arrays
from tests.contract.flower.test_witnessed_runs import Federation, kinds
from tests.waiting import wait_until

from fedstate.flower.task_client import output_of
from fedstate.flower.task_order import TaskKind


def test_the_output_of_a_thief_is_a_step_for_which_no_state_was_handed_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "link").mkdir()
    with ExitStack() as stack:
        federation = Federation(tmp_path, stack)
        run, node = federation.runs[0], federation.nodes[0]
        message = run.message(node.node_id, arrays(1.0))
        message_id = run.push(message)
        assert node.receive()
        order = wait_until(lambda: node.acquire(TaskKind.CLIENT_APP))
        assert order is not None
        message.metadata.__dict__["_message_id"] = message_id
        forged = RecordDict({"history": MetricRecord({"loss": [0.0]})})
        context = Context(run.id, node.node_id, {}, forged, {}, series_id=run.id)
        # All that a thief has is the token: the step's own ClientApp was given nothing yet.
        with node.task_client(order) as thief:
            thief.push_reply(Message(arrays(2.0), reply_to=message), context)
            thief.push_output(output_of(context))
        node.idle()
        report = federation.verify()
    assert report.exit_code == 1
    assert "forged-step" in kinds(report)
    (finding,) = (each for each in report.findings if each.kind == "forged-step")
    assert (finding.place.run_id, finding.place.node_id) == (run.id, node.node_id)
