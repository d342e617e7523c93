"""What operators do to a federation in containers while it is up, by the commands of the docs."""

import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedstate.flower.control import control
from fedstate.flower.control_nodes import load_public_key
from fedstate.local.process import free_port
from fedstate.local.runs import start, wait_for_runs
from tests.open_directory import new_directory
from tests.stack.conftest import ROOT
from tests.stack.containers.stack import NODES, Stack
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("FEDSTATE_SLOW"), reason="takes minutes: make test-long"
    ),
]

COUNTING = ROOT / "tests" / "apps" / "counting"
RUN_SECONDS = 240.0
SERVED = "import ssl; print(ssl.get_server_certificate(('runtime', 9094)))"
# Makes a key, and takes part once somebody says that it is registered.
NODE = """
cd /tmp
fedstate certificates node id >&2
until [ -e registered ]; do sleep 0.2; done
exec fedstate supernode --superlink "$1" --root-certificates ca.crt \
    --auth-supernode-private-key id/node.key --state state \
    --node-config 'partition-id=3 num-partitions=4'
"""


def begin(stack: Stack, **config: float) -> int:
    given: dict[str, int | float | str] = {"rounds": 1, "nodes": len(NODES), "seed": 7}
    return start(stack, COUNTING, {**given, "result": "result.json", **config})


def outcome(stack: Stack, run_id: int) -> Any:
    """Return what a run came to, once it has completed."""
    statuses = wait_for_runs(stack, [run_id], RUN_SECONDS)
    assert statuses == {run_id: "finished:completed"}, stack.logs()
    script = f"print(open('runs/{run_id}/result.json').read())"
    run = ("run", "--rm", "--no-TTY", "--no-deps", "--entrypoint", "python3", "fedstate")
    return json.loads(stack.compose(*run, "-c", script).stdout)


def once(stack: Stack, service: str, *command: str) -> str:
    """Run a command in a container of its own, as the docs do."""
    return stack.compose("run", "--rm", "--no-TTY", "--no-deps", service, *command).stdout


def authorities(stack: Stack, service: str) -> tuple[bytes, list[bytes]]:
    """Return what an executor trusts, and what the rooms of its runs do."""
    root = Path(f"/proc/{stack.inspect(service)['State']['Pid']}/root")
    copies = [file.read_bytes() for file in root.glob("rooms/*/ca.crt")]
    return (root / "var/lib/fedstate/runtime/ca.crt").read_bytes(), copies


def test_certificates_authorities_and_a_nodes_key_are_replaced_under_a_run(stack: Stack) -> None:
    """With the commands of docs/certificates.md and docs/nodes.md: the run comes to the same."""
    renew = ("fedstate", "certificates", "renew", "identity", "runtime")
    run_id = begin(stack, rounds=60, seconds=0.7)

    def served() -> set[str]:
        inside = stack.run_inside("executor-1", "python3", "-c", SERVED).stdout.strip()
        return {ssl.get_server_certificate(("127.0.0.1", stack.port)), inside}

    def renew_all(option: str) -> None:
        once(stack, "certs", *renew, "public", "--authority", "authority", option)
        once(stack, "publish")
        once(stack, "enrol-1", *renew, "--authority", "identity/authority", option)

    def reached() -> bool:
        # The tasks under way trust what their executor does.
        found = [authorities(stack, service) for service in ("serverapp", "executor-1")]
        return all(copies and {trusted} == {*copies} for trusted, copies in found)

    public_key = key_of_node(stack)
    (node,) = [each for each in stack.nodes() if each.public_key == public_key]
    try:
        before = served()
        renew_all("--new-authority")
        assert not served() & before
        once(stack, "enrol-1", "fedstate", "certificates", "node", "identity", "--replace")
        key = ("fedstate", "node", "replace-key", str(node.node_id), "identity/node.pub")
        once(stack, "enrol-1", *key)
        wait_until(reached, RUN_SECONDS)
        renew_all("--drop-old-authority")
        with control(stack.connection) as link:
            assert link.run_status(run_id) == "running", "it was over before the rotation was"
        disturbed = outcome(stack, run_id)
    finally:
        once(stack, "enrol-1", "sh", "-c", "rm -f identity/replaced-*")
    assert disturbed["errors"] == []
    assert node.node_id in {each.node_id for each in stack.nodes() if each.online}
    assert key_of_node(stack) != public_key
    report = json.loads(stack.tool("fedstate", "verify", str(run_id), "--format", "json"))
    assert report["verdict"] == "kept", report["findings"]
    (run,) = report["runs"]
    assert [each["failed"] for each in run["nodes"]] == [0] * len(NODES)
    assert disturbed == outcome(stack, begin(stack, rounds=60)), "to the bit the same"


def key_of_node(stack: Stack) -> bytes:
    """Return the key of the first node, as the SuperLink has it."""
    file = new_directory() / "node.pub"
    file.write_text(once(stack, "enrol-1", "cat", "identity/node.pub"))
    return load_public_key(file)


def test_the_list_of_allowed_apps_is_what_nodes_run(stack: Stack) -> None:
    file = new_directory() / "allow.toml"
    file.write_text(f'[[allow]]\nhash = "{"0" * 64}"\n')
    stack.up(FEDSTATE_ALLOW=str(file))
    try:
        refused = outcome(stack, begin(stack))
        assert len(refused["errors"]) == len(NODES)
        assert all("does not allow the app 'fedstate/counting'" in e for e in refused["errors"])
        hashes = {word.strip("().,;'") for word in refused["errors"][0].split()}
        (fab_hash,) = [word for word in hashes if len(word) == 64]
        log = ("fedstate", "state", "log", "--state", "state", "--failed", "--format", "json")
        assert "fedstate/counting" in stack.run_inside("supernode-1", *log).stdout
        # In place: a container does not see a file that was moved there.
        file.write_text(f'[[allow]]\nhash = "{fab_hash}"\n')
        assert outcome(stack, begin(stack))["errors"] == []
    finally:
        stack.up()


@contextmanager
def network_elsewhere(stack: Stack) -> Iterator[tuple[str, str]]:
    """Make a network that has nothing to do with the federation's; yield name and gateway."""
    name = f"{stack.project}-elsewhere"
    docker("network", "create", name)
    try:
        yield name, stack.network(name)["IPAM"]["Config"][0]["Gateway"]
    finally:
        docker("network", "rm", name)


def docker(*arguments: str, check: bool = True) -> str:
    answer = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert not check or answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_a_node_joins_from_another_network(stack: Stack, tmp_path: Path) -> None:
    """By docs/other-machines.md: it reaches the Fleet API, and nothing else."""
    with network_elsewhere(stack) as (network, host):
        address, name = f"{host}:{free_port()}", f"{stack.project}-guest"
        stack.up(FEDSTATE_FLEET_HOST=host, FEDSTATE_FLEET_PUBLISH=address)
        authority = f"{stack.connection.root_certificates}:/tmp/ca.crt:ro"
        image = f"{stack.project}-executor"
        run = ("run", "--detach", "--name", name, "--network", network, "--volume", authority)
        shell = ("--user", "executor", "--entrypoint", "sh", image, "-ec", NODE, "sh", address)
        docker(*run, *shell)
        node_ids: list[int] = []
        key = "cat ~/id/node.pub"  # HOME is /tmp there
        try:
            wait_until(lambda: docker("exec", name, "sh", "-c", f"{key} || :"), 60)
            (tmp_path / "node.pub").write_text(docker("exec", name, "sh", "-c", key))
            known = {each.node_id for each in stack.nodes()}
            with control(stack.connection) as link:
                assert link.register(tmp_path / "node.pub")
            node_ids = [each.node_id for each in stack.nodes() if each.node_id not in known]
            docker("exec", name, "sh", "-c", "touch ~/registered")
            wait_until(lambda: any(e.online for e in stack.nodes() if e.node_id in node_ids), 90)
            result = outcome(stack, begin(stack, nodes=len(NODES) + 1, rounds=2))
            assert (result["errors"], len(result["own"])) == ([], len(NODES) + 1)
            for port in (stack.port, 8000, 8002):
                script = f"import socket; socket.create_connection(({host!r}, {port}), 3)"
                said = docker(
                    "exec", name, "python3", "-c", script + "; print('in')", check=False
                )
                assert said == "", f"port {port} is open"
        finally:
            docker("rm", "--force", name)
            for node_id in node_ids:
                stack.tool("flwr", "supernode", "unregister", str(node_id))
            stack.up()
