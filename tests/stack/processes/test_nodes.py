"""A node's key is replaced during a run, and the node takes the apps that its operator allows."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flwr.cli.build import build_fab_from_disk

from fedstate.certificates.keys import ensure_node_key
from fedstate.flower.control import control
from fedstate.local.federation import START_SECONDS, Federation, LocalNode
from fedstate.local.runs import start, wait_for_runs
from fedstate.verify.store import verify_store
from fedstate.verify.superlink import gather
from tests.federation_logs import AFTER_A_KILL
from tests.stack.conftest import ROOT, command
from tests.waiting import wait_until

STRANGERS = ROOT / "tests" / "apps" / "strangers"
RUN_SECONDS = 200.0

pytestmark = [
    pytest.mark.timeout(2 * RUN_SECONDS),
    pytest.mark.allowed_errors(
        # The SuperNode with the old key ends in the middle of a step.
        *AFTER_A_KILL,
        r"does not accept this node's key",
        # What is not allowed is refused.
        r"This node does not allow the app 'fedstate/strangers'",
        r"Error\(code=\d+, reason=",
    ),
]


def entry(app: Path) -> str:
    """Return the entry of a list of allowed apps that allows an app, byte for byte."""
    return f'[[allow]]\nhash = "{hashlib.sha256(build_fab_from_disk(app)).hexdigest()}"\n'


def restart(federation: Federation, node: LocalNode) -> None:
    node.supernode.stop()
    node.supernode.start()
    node.supernode.wait_until_healthy(node.port, federation.root_certificates, START_SECONDS)
    federation.wait_until_connected()


@dataclass(frozen=True)
class Replaced:
    """A node whose key was replaced while a run went on, and that run."""

    node: LocalNode
    node_id: int
    allow: Path
    state: Path
    run_id: int
    old_key: Path


@pytest.fixture(scope="module")
def replaced(
    federation: Federation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replaced]:
    directory = tmp_path_factory.mktemp("replaced")
    node, allow = federation.nodes[-1], directory / "allow.toml"
    allow.write_text(entry(STRANGERS))
    (database,) = node.directory.glob("flwr/fedstate/nodes/*/node.db")
    with control(federation.connection) as link:
        (known,) = [each for each in link.nodes() if each.public_key == node.public_key]
    run_id = start(federation, STRANGERS, {"rounds": 4, "seconds": 0.5})
    wait_until(lambda: answered(federation, run_id, known.node_id), RUN_SECONDS)
    old_key = shutil.copy(node.directory / "node.pub", directory / "old.pub")
    new_key = ensure_node_key(directory / "new")
    said = command(
        *("fedstate", "node", "replace-key", str(known.node_id), new_key),
        environment=federation.environment,
    )
    assert said.returncode == 0, said.stderr
    # The SuperNode with the old key is told so, and ends.
    wait_until(lambda: not node.supernode.running, 60)
    assert "does not accept this node's key" in node.supernode.log_end()
    for name in ("node.key", "node.pub"):
        shutil.copy(directory / "new" / name, node.directory / name)
    node.supernode.command += ["--state", str(database.parent)]
    stays = list(node.supernode.command)
    node.supernode.command += ["--allow", str(allow)]
    restart(federation, node)
    statuses = wait_for_runs(federation, [run_id], RUN_SECONDS)
    assert statuses == {run_id: "finished:completed"}
    yield Replaced(node, known.node_id, allow, database.parent, run_id, Path(old_key))
    node.supernode.command[:] = stays
    restart(federation, node)


def answered(federation: Federation, run_id: int, node_id: int) -> bool:
    with control(federation.connection) as link:
        (run,) = gather(link.evidence([run_id], ask_nodes=False)).runs
    return any(each.answered_at for each in run.node(node_id).deliveries)


def test_a_run_goes_on_with_the_state_and_the_receipts_of_both_keys(
    federation: Federation, replaced: Replaced
) -> None:
    answer = command(
        *("fedstate", "verify", str(replaced.run_id), "--format", "json"),
        environment=federation.environment,
    )
    report = json.loads(answer.stdout)
    assert answer.returncode == 0, [each["text"] for each in report["findings"]]
    (run,) = report["runs"]
    assert str(replaced.node_id) in {str(each["node_id"]) for each in run["nodes"]}
    assert len(run["nodes"]) == len(federation.nodes)
    # The SuperLink's account, without a node: which keys have signed what it has.
    with control(federation.connection) as link:
        evidence = gather(link.evidence([replaced.run_id], ask_nodes=False))
    former = {each.public_key for each in evidence.former_keys[replaced.node_id]}
    assert len(former | {evidence.keys[replaced.node_id]}) == 2


def test_the_node_alone_is_verified_with_both_keys(replaced: Replaced) -> None:
    new_key = replaced.node.directory / "node.pub"
    for keys, code in (([new_key, replaced.old_key], 0), ([new_key], 1)):
        report = verify_store(replaced.state, None, keys, [str(replaced.run_id)])
        assert report.exit_code == code, [str(each) for each in report.findings]


def test_an_app_with_a_changed_file_is_refused_until_the_operator_allows_it(
    federation: Federation, replaced: Replaced, tmp_path: Path
) -> None:
    changed = shutil.copytree(STRANGERS, tmp_path / "strangers")
    with (changed / "strangers" / "client_app.py").open("a") as file:
        file.write("# changed\n")
    refused = start(federation, changed, {"rounds": 1})
    assert wait_for_runs(federation, [refused], RUN_SECONDS)[refused] == "finished:completed"
    (row,) = steps(federation, replaced, refused, "--failed")
    assert row["reason"].startswith(
        "This node does not allow the app 'fedstate/strangers' 1.0.0 with the FAB hash "
    )
    assert failed_deliveries(federation, refused) == {replaced.node_id}
    log = replaced.node.supernode.log_file.read_text()
    assert log.count(row["reason"]) == 1
    # Nothing of it has come onto the node.
    assert not list(replaced.node.directory.rglob("client_app.py"))

    replaced.allow.write_text(entry(STRANGERS) + entry(changed))
    taken = start(federation, changed, {"rounds": 1})
    assert wait_for_runs(federation, [taken], RUN_SECONDS)[taken] == "finished:completed"
    assert [row["outcome"] for row in steps(federation, replaced, taken)] == ["committed"]


def steps(
    federation: Federation, replaced: Replaced, run_id: int, *options: str
) -> list[dict[str, Any]]:
    named: list[str | Path] = ["fedstate", "state", "log", str(run_id), "--state", replaced.state]
    named += [*options, "--format", "json"]
    answer = command(*named, environment=federation.environment)
    assert answer.returncode == 0, answer.stderr
    rows: list[dict[str, Any]] = json.loads(answer.stdout)
    return rows


def failed_deliveries(federation: Federation, run_id: int) -> set[int]:
    with control(federation.connection) as link:
        (run,) = gather(link.evidence([run_id], ask_nodes=False)).runs
    return {
        node_id for node_id, node in run.nodes.items() if any(d.failed for d in node.deliveries)
    }
