"""The Runtime API is served while the block runs, or the reason is said."""

from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, RecordDict
from tests.unit.supernode.stepping import Node
from tests.waiting import wait_until

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.errors import FederationError
from fedstate.flower.supernode_options import SuperNodeSettings, supernode_settings
from fedstate.flower.task_client import output_of, task_client
from fedstate.flower.task_order import TaskKind
from fedstate.flower.tasks import RuntimeApi, TaskServerUnavailableError, TaskSource
from fedstate.health import check_health
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


def test_it_answers_on_a_socket_without_tls_as_well(
    stepping_node: Node, settings: SuperNodeSettings, tmp_path: Path
) -> None:
    ensure_server_certificate(tmp_path, ensure_authority(tmp_path / "authority"), ["127.0.0.1"])
    settings = replace(
        settings,
        certificate_file=str(tmp_path / "server.crt"),
        key_file=str(tmp_path / "server.key"),
        authority_file=str(tmp_path / "ca.crt"),
    )
    path = tmp_path / "api.sock"
    api = (settings, stepping_node.state, stepping_node.steps)
    with runtime_api(*api, socket=path):
        assert check_health(f"unix:{path}", None) == httpx.codes.OK
        port = f"https://127.0.0.1:{settings.port}"
        assert check_health(port, Path(str(settings.authority_file))) == httpx.codes.OK
        with TaskSource(RuntimeApi("127.0.0.1:1", socket=path)) as source:
            waited = source.wait(0, 10, [], run_ids=[4711])
            assert waited is not None
            assert waited.ended_runs == (4711,)
            assert source.acquire([TaskKind.CLIENT_APP]) is None
        after = replace(settings, port=free_port())
        with (
            pytest.raises(FederationError, match=f"on '{path}', where another server listens"),
            runtime_api(after, *api[1:], socket=path),
        ):
            pass
        assert check_health(f"unix:{path}", None) == httpx.codes.OK
    assert not path.exists()
    with (
        TaskSource(RuntimeApi("127.0.0.1:1", socket=path)) as source,
        pytest.raises(TaskServerUnavailableError, match="No such file or directory"),
    ):
        source.acquire([TaskKind.CLIENT_APP])


def test_a_task_and_a_large_context_go_by_the_socket(
    stepping_node: Node, settings: SuperNodeSettings, tmp_path: Path, run_id: int
) -> None:
    path = tmp_path / "api.sock"
    content = np.random.default_rng(1).random(1_000_000)
    with runtime_api(settings, stepping_node.state, stepping_node.steps, socket=path):
        message_id = stepping_node.pull_new(run_id)
        with TaskSource(RuntimeApi("127.0.0.1:1", socket=path)) as source:
            order = wait_until(lambda: source.acquire([TaskKind.CLIENT_APP]))
        assert order is not None
        assert order.runtime_api_socket == str(path)
        with task_client(order) as client:
            given = client.pull_input()
            given.context.state["large"] = ArrayRecord([content])
            client.push_reply(Message(RecordDict(), reply_to=given.message), given.context)
            client.push_output(output_of(given.context))
        stepping_node.wait_for_end()
    context = stepping_node.state.get_run_series_context(given.context.series_id)
    assert context is not None
    large = context.state["large"]
    assert isinstance(large, ArrayRecord)
    (kept,) = large.to_numpy_ndarrays()
    assert np.array_equal(kept, content)
    assert stepping_node.reply(run_id, message_id).has_content()


def test_a_port_that_is_taken_is_said_with_its_address(
    stepping_node: Node, settings: SuperNodeSettings
) -> None:
    api = (settings, stepping_node.state, stepping_node.steps)
    with runtime_api(*api):
        address = f"{settings.host}:{settings.port}"
        problem = f"SuperNode's API cannot be served on {address} .* with --port"
        with pytest.raises(FederationError, match=problem), runtime_api(*api):
            pass
