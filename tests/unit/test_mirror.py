"""Every module with logic has a test: one of its name beside it, or one that this table names.

The table is for modules that nobody uses but through another: whoever adds to it says where the
module is put to the test, and a module that is not in it needs a file of its own name.
"""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SOURCES = TESTS.parent / "src" / "fedstate"
UNIT = TESTS / "unit"

# The module, relative to src/fedstate, and the files or directories below tests/ that test it.
ELSEWHERE = {
    "store/deltas.py": ["unit/store/test_packing.py", "unit/store/test_kept_differences.py"],
    "store/checkpoints.py": ["unit/store/test_room.py", "contract/store/test_concurrency.py"],
    "store/ended_runs.py": ["unit/store/test_retention.py"],
    "accounts/errors.py": ["unit/accounts/test_tokens.py"],
    "cli/nodes_here.py": ["unit/cli/test_node.py", "unit/cli/test_compose.py"],
    "demo.py": ["unit/cli/test_demo.py", "stack/test_lifecycle.py"],
    "executor/heart.py": ["unit/executor/test_watch.py"],
    "executor/bare_room.py": ["unit/executor/test_warmth.py"],
    "executor/deletions.py": ["unit/executor/test_pool_rooms.py"],
    "executor/keeper.py": ["unit/executor/test_pool_rooms.py"],
    "executor/replay.py": ["unit/executor/test_imports.py"],
    "executor/room_client.py": ["unit/executor/test_pool_rooms.py"],
    "executor/usage.py": ["unit/executor/test_pool_rooms.py"],
    "executor/serverapp.py": [
        "contract/flower/test_grid.py",
        "contract/flower/test_serverapp_program.py",
    ],
    "flower/account_token.py": ["contract/flower/test_control_accounts.py"],
    "flower/apps.py": ["unit/executor/test_install.py", "contract/flower/test_executor.py"],
    "flower/body_bounds.py": ["contract/flower/test_strangers.py"],
    "flower/bulk_objects.py": ["contract/flower/test_superlink_state.py"],
    "flower/bulk_state.py": ["contract/flower/test_superlink_state.py"],
    "flower/control_accounts.py": ["contract/flower/test_control_accounts.py"],
    "flower/contexts.py": ["unit/large/test_wire.py"],
    "flower/engine.py": ["contract/flower/test_grid.py"],
    "flower/errors.py": ["unit/flower/test_refusals.py"],
    "flower/evidence_log.py": ["contract/flower/test_evidence.py"],
    "flower/evidence_state.py": ["contract/flower/test_evidence.py"],
    "flower/field_numbers.py": ["unit/large/test_wire.py"],
    "flower/grid.py": ["contract/flower/test_grid.py"],
    "flower/control_named.py": ["contract/flower/test_control_named.py"],
    "flower/control_nodes.py": ["contract/flower/test_node_keys.py"],
    "flower/node_accounts.py": ["contract/flower/test_node_keys.py"],
    "flower/log_levels.py": ["contract/flower/test_logs.py"],
    "flower/log_options.py": ["contract/flower/test_logs.py"],
    "flower/request_labels.py": ["contract/flower/test_logs.py"],
    "flower/step_labels.py": ["contract/flower/test_logs.py"],
    "flower/node_keys.py": ["contract/flower/test_node_keys.py"],
    "flower/header_checks.py": ["contract/flower/test_strangers.py"],
    "flower/hand_outs.py": [
        "unit/supernode/test_link_take.py",
        "contract/flower/test_take_routes.py",
    ],
    "flower/node_waits.py": ["unit/supernode/test_link_take.py"],
    "flower/serverapp_client.py": ["contract/flower/test_serverapp_routes.py"],
    "flower/task_messages.py": ["contract/flower/test_serverapp_routes.py"],
    "flower/node_objects.py": ["contract/flower/test_own_objects.py"],
    "flower/nodestate.py": ["contract/flower/test_nodestate.py"],
    "flower/own_objects.py": ["contract/flower/test_own_objects.py"],
    "flower/object_answers.py": ["contract/flower/test_streamed_objects.py"],
    "flower/object_places.py": ["contract/flower/test_streamed_objects.py"],
    "flower/object_rows.py": ["contract/flower/test_superlink_state.py"],
    "flower/own_routes.py": ["contract/flower/test_streamed_objects.py"],
    "flower/statements.py": ["contract/flower/test_superlink_state.py"],
    "objects/contents.py": ["unit/objects/test_files.py"],
    "flower/proto/generate.py": ["unit/flower/proto/test_exchange_pb2.py"],
    "flower/protobuf_call.py": ["unit/exchange/test_client.py"],
    "flower/pull_backoff.py": ["contract/flower/test_grid.py"],
    "flower/routing.py": ["unit/exchange/test_routes.py"],
    "flower/run_objects.py": [
        "unit/exchange/test_routes.py",
        "contract/flower/test_superlink_objects.py",
    ],
    "flower/run_owners.py": ["contract/flower/test_control_accounts.py"],
    "flower/runs.py": ["unit/supernode/test_admission.py", "unit/supernode/test_main.py"],
    "flower/runtime_app.py": ["contract/flower/test_supernode_tasks.py"],
    "flower/senseless.py": ["contract/flower/test_senseless.py"],
    "flower/serverapp_program.py": ["contract/flower/test_serverapp_program.py"],
    "flower/strangers.py": ["contract/flower/test_strangers.py"],
    "flower/superlink_app.py": [
        "unit/superlink/test_main.py",
        "unit/superlink/test_options.py",
    ],
    "flower/task_client.py": [
        "unit/executor/test_failure.py",
        "contract/flower/test_supernode_tasks.py",
    ],
    "forking/silence.py": ["unit/forking/test_supervisor.py"],
    "flower/witnessed_state.py": ["contract/flower/test_evidence.py"],
    "serving/answers.py": ["unit/serving/test_credentials.py", "unit/serving/test_bodies.py"],
    "forking/server.py": ["unit/forking/test_supervisor.py"],
    "inspection/errors.py": ["unit/inspection/test_store.py"],
    "inspection/source.py": ["unit/inspection/test_store.py"],
    "inspection/state.py": ["unit/inspection/test_run.py", "unit/inspection/test_value.py"],
    "inspection/stored.py": ["unit/inspection/test_value.py"],
    "local/accounts.py": ["stack/processes/test_accounts.py"],
    "local/rooms.py": ["unit/local/test_federation.py", "unit/cli/local/test_up.py"],
    "local/launched.py": ["unit/local/test_launcher.py"],
    "state/codecs/base.py": ["unit/state/codecs/test_registry.py"],
    "superlink/control_door.py": ["contract/flower/test_control_accounts.py"],
    "superlink/evidence_routes.py": ["contract/flower/test_evidence.py"],
    "superlink/node_routes.py": ["contract/flower/test_node_keys.py"],
    "superlink/serverapp_routes.py": ["contract/flower/test_serverapp_routes.py"],
    "superlink/take_routes.py": ["contract/flower/test_take_routes.py"],
    "superlink/fleet_routes.py": ["contract/flower/test_superlink_objects.py"],
    "store/read_only.py": ["contract/flower/test_witnessed_runs.py"],
    "flower/object_moves.py": ["unit/supernode/test_replies.py"],
    "flower/log_streams.py": ["contract/flower/test_control_accounts.py"],
    "store/keeping_store.py": ["unit/store/test_kept_states.py", "contract/store/test_keep.py"],
    "supernode/step.py": ["unit/supernode/test_steps.py"],
    "verify/agreement.py": ["unit/verify/test_verifier.py"],
    "verify/completeness.py": ["unit/verify/test_verifier.py"],
    "verify/evidence.py": ["unit/verify/test_verifier.py"],
    "verify/isolation.py": ["unit/verify/test_verifier.py"],
    "verify/persistence.py": ["unit/verify/test_verifier.py"],
    "verify/session.py": ["unit/cli/test_verify.py"],
    "verify/steps.py": ["unit/verify/test_verifier.py"],
    "verify/table.py": ["unit/verify/test_report.py"],
    "verify/watching.py": ["unit/cli/test_verify.py"],
    "verify/superlink.py": ["contract/flower/test_evidence.py", "unit/cli/test_verify.py"],
}


def has_logic(file: Path) -> bool:
    nodes = ast.walk(ast.parse(file.read_text()))
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes)


def modules() -> list[str]:
    files = [
        file
        for file in sorted(SOURCES.rglob("*.py"))
        if not file.name.startswith("__") and not file.name.endswith("_pb2.py")
    ]
    return [str(file.relative_to(SOURCES)) for file in files if has_logic(file)]


def own_tests(module: str) -> list[Path]:
    """Return the tests that have the module's name: ``test_NAME.py`` and ``test_NAME_*.py``."""
    directory, name = UNIT / Path(module).parent, Path(module).stem
    return [
        file
        for file in directory.glob(f"test_{name}*.py")
        if file.stem == f"test_{name}" or file.stem.startswith(f"test_{name}_")
    ]


MODULES = modules()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_test(module: str) -> None:
    if not own_tests(module):
        assert module in ELSEWHERE, (
            f"src/fedstate/{module} has no tests/unit/{Path(module).with_name('test_')}"
            f"{Path(module).name}, and no entry in ELSEWHERE of tests/unit/test_mirror.py"
        )


@pytest.mark.parametrize("module", ELSEWHERE)
def test_an_entry_is_of_a_module_without_a_test_of_its_name(module: str) -> None:
    assert module in MODULES
    assert not own_tests(module), "it has a test of its name: remove the entry"


@pytest.mark.parametrize(
    "place", sorted({each for places in ELSEWHERE.values() for each in places})
)
def test_an_entry_names_tests_that_are_there(place: str) -> None:
    path = TESTS / place
    files = path.rglob("test_*.py") if path.is_dir() else [path]
    # A state machine of hypothesis is a test, too.
    found = re.compile(r"^(def test_|Test\w+.* = \w+\.TestCase$)", re.MULTILINE)
    assert any(found.search(file.read_text()) for file in files)
