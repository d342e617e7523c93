"""What we use of flwr's non-public modules is still there, and still does what we rely on.

A failure here after an upgrade of flwr names the seam that moved.
"""

import importlib
import inspect

from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.superlink.servicer.fleet import fleet_handlers
from flwr.supernode import start_client_internal
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import InMemoryNodeState, NodeStateFactory
from flwr.supernode.servicer.runtime import runtime_handlers

from fedstate.flower.clients import HEARTBEAT_SECONDS, PATIENCE_SECONDS


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_the_node_state_has_the_attributes_that_ours_clears() -> None:
    state = InMemoryNodeState(ObjectStoreFactory().store())
    for name in ("msg_store", "task_store", "time_store", "run_store"):
        assert isinstance(getattr(state, name), dict)
        with getattr(state, f"lock_{name}"):
            pass
    assert parameters(state._on_task_tokens_expired) == ["tasks"]
    assert parameters(state.finish_task) == ["task_id", "sub_status", "details"]


def test_the_handlers_take_what_ours_is_given() -> None:
    for name in ("pull_task_input", "push_task_output"):
        assert parameters(getattr(runtime_handlers, name)) == ["request", "state", "task"]


def test_the_runtime_api_looks_its_handlers_up_in_the_app() -> None:
    app = create_app(NodeStateFactory(ObjectStoreFactory()))
    assert app.state.runtime_handlers is runtime_handlers


def test_the_command_line_is_still_flwrs() -> None:
    cli = importlib.import_module("flwr.supernode.cli.flower_supernode")
    names = {action.dest for action in cli._parse_args_run_supernode()._actions}
    ours = {"state", "state_key", "retain", "retain_size", "concurrency", "poll_interval"}
    assert not names & ours, "flower-supernode has an option of the same name now"
    assert parameters(cli._parse_supernode_lifespan_config) == []
    assert parameters(cli._start_supernode_http_api) == ["config", "state_factory"]
    assert parameters(start_client_internal._verify_fab) == ["fab", "trusted_entities"]


def test_a_superlink_takes_our_heartbeat_and_waits_for_twice_as_long() -> None:
    fleet_handlers._validate_heartbeat_interval(HEARTBEAT_SECONDS)
    assert PATIENCE_SECONDS == 20


def test_a_retry_invoker_takes_other_pauses() -> None:
    assert callable(make_simple_http_retry_invoker().wait_gen_factory)
