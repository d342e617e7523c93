"""The Runtime API is served while the block runs, or the reason is said."""

import httpx
import pytest
from tests.unit.supernode.stepping import Node

from fedstate.errors import FederationError
from fedstate.flower.supernode_options import SuperNodeSettings, supernode_settings
from fedstate.flower.tasks import RuntimeApi, TaskSource
from fedstate.local.process import free_port
from fedstate.supernode.runtime_api import runtime_api


@pytest.fixture
def settings() -> SuperNodeSettings:
    address = ("--host", "127.0.0.1", "--port", str(free_port()))
    return supernode_settings(["--insecure", "--isolation", "process", *address])


def test_it_answers_until_the_end_of_the_block(
    stepping_node: Node, settings: SuperNodeSettings
) -> None:
    url = f"http://{settings.host}:{settings.port}/health"
    before = stepping_node.steps.on_task
    with runtime_api(settings, stepping_node.state, stepping_node.steps):
        assert httpx.get(url).status_code == httpx.codes.OK
        assert stepping_node.steps.on_task != before, "a new task wakes executors that wait"
        with TaskSource(RuntimeApi(f"{settings.host}:{settings.port}", insecure=True)) as source:
            waited = source.wait(0, 10, [], run_ids=[4711])
            assert waited is not None
            assert waited.ended_runs == (4711,), "there is nothing of it here"
            stepping_node.steps.end_run(4711)
            after = source.wait(waited.count, 60, [], ends=waited.ends)
            assert after is not None
            assert after.ends == waited.ends + 1, "and so does the end of a run"
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_port_that_is_taken_is_said_with_its_address(
    stepping_node: Node, settings: SuperNodeSettings
) -> None:
    api = (settings, stepping_node.state, stepping_node.steps)
    with runtime_api(*api):
        address = f"{settings.host}:{settings.port}"
        problem = f"SuperNode's API cannot be served on {address} .* with --port"
        with pytest.raises(FederationError, match=problem), runtime_api(*api):
            pass
