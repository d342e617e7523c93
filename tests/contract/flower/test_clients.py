"""flwr's policy for requests that fail, as our client of the Fleet API changes it."""

from collections.abc import Iterator

import httpx
import pytest
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.retry import exponential, make_simple_http_retry_invoker
from flwr.supercore.run import RunNotRunningException
from tests.contract.flower.in_process import SuperLink
from tests.contract.flower.in_process_run import Node, Run


def test_the_end_of_a_run_ends_the_tries(run: Run, node: Node) -> None:
    retry = make_simple_http_retry_invoker()
    request = GetRunRequest(node=node.proto, run_id=run.id)
    assert retry.invoke(node.client.GetRun, request).run.run_id == run.id
    run.end()
    with pytest.raises(RunNotRunningException):
        retry.invoke(node.client.GetRun, request)


def test_a_connection_that_breaks_is_tried_again_after_pauses_of_ours(node: Node) -> None:
    retry = make_simple_http_retry_invoker()
    pauses: list[float] = []

    def ours() -> Iterator[float]:
        for pause in exponential(base_delay=0.001, multiplier=1, max_delay=1):
            pauses.append(pause)
            yield pause

    retry.wait_gen_factory = ours  # type: ignore[assignment]  # flwr names it a generator
    answers = iter([httpx.ConnectError("refused"), httpx.ReadError("broken"), None])

    def call() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "answered"

    assert retry.invoke(call) == "answered"
    assert len(pauses) == 2


def test_what_ours_raises_of_a_refusal_ends_the_tries(superlink: SuperLink, node: Node) -> None:
    """flwr's own policy interrupts the whole process when a key is not accepted."""
    retry = make_simple_http_retry_invoker()
    theirs = retry.should_giveup
    assert theirs is not None

    class NotAcceptedError(Exception):
        pass

    def ours(error: Exception) -> bool:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 401:
            raise NotAcceptedError
        return theirs(error)

    retry.should_giveup = ours
    other = Node(superlink)
    request = GetRunRequest(node=node.proto, run_id=1)
    with pytest.raises(NotAcceptedError):
        retry.invoke(other.client.GetRun, request)
    other.client.close()
