"""Who is admitted with a node's key: the SuperNode that comes back, and nobody beside it."""

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from fedstate.flower.control import control
from fedstate.local.federation import Federation, LocalNode
from fedstate.local.process import free_port
from fedstate.store.node_store import NodeStore
from tests.programs import PROGRAMS
from tests.waiting import wait_until

from .conftest import Killable


def state_directory(node: LocalNode) -> Path:
    (database,) = node.directory.glob("flwr/fedstate/nodes/*/node.db")
    return database.parent


def rival(killable: Killable, node: LocalNode, state: Path) -> subprocess.CompletedProcess[str]:
    """Start a second SuperNode with a node's key, which gives up after a few tries."""
    command = [*node.supernode.command, "--state", str(state), "--max-retries", "2"]
    command[command.index("--port") + 1] = str(free_port())
    if "--runtime-socket" in command:
        command[command.index("--runtime-socket") + 1] = str(state / "rival.sock")
    return subprocess.run(
        command,
        env={**os.environ, **node.supernode._environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_second_supernode_with_the_same_key_is_not_admitted(
    killable: Killable, tmp_path: Path
) -> None:
    refused = rival(killable, killable.federation.nodes[0], tmp_path)
    assert refused.returncode == 1
    assert "another SuperNode with the same key is online" in refused.stderr


def test_a_copy_of_the_state_does_not_admit_one_either(
    killable: Killable, tmp_path: Path
) -> None:
    node = killable.federation.nodes[0]
    copy = tmp_path / "copy"
    shutil.copytree(state_directory(node), copy, symlinks=True)
    refused = rival(killable, node, copy)
    assert refused.returncode == 1
    assert "another SuperNode with the same key is online" in refused.stderr


def test_a_copy_of_the_state_is_refused_to_another_node(
    killable: Killable, tmp_path: Path
) -> None:
    node, other = killable.federation.nodes
    copy = tmp_path / "copy"
    shutil.copytree(state_directory(node), copy, symlinks=True)
    refused = rival(killable, other, copy)
    assert refused.returncode == 1
    # Once as a warning, since the node's key might have been replaced, and then as the end.
    _, sentence = (line for line in refused.stderr.splitlines() if "belongs to" in line)
    assert f"The node store in '{copy}' belongs to the node with key SHA256:" in sentence


def test_the_state_directory_itself_is_not_shared(killable: Killable) -> None:
    node = killable.federation.nodes[0]
    refused = rival(killable, node, state_directory(node))
    assert refused.returncode == 1
    assert "is in use by another process" in refused.stderr


def test_a_killed_supernode_is_admitted_again(killable: Killable) -> None:
    node = killable.federation.nodes[0]
    node.supernode.kill()
    node.supernode.start()
    killable.federation.wait_until_connected()
    killable.wait(killable.submit(resend=True))


def test_an_unregistered_node_says_so_and_keeps_its_step(tmp_path: Path) -> None:
    with Federation(tmp_path, nodes=2, programs=PROGRAMS) as federation:
        killable, node = Killable(federation), federation.nodes[0]
        _, go = killable.submit_pausing(1)
        killable.wait_for_pause(go)
        with control(federation.connection) as link:
            (node_id,) = [n.node_id for n in link.nodes() if n.public_key == node.public_key]
        flwr = Path(sys.executable).parent / "flwr"
        subprocess.run(
            [flwr, "supernode", "unregister", str(node_id), "local"],
            env=federation.environment,
            capture_output=True,
            check=True,
        )
        go.touch()
        wait_until(lambda: not node.supernode.running, 90, "its end")
        assert node.supernode._started is not None
        assert node.supernode._started.returncode == 1
        last = node.supernode.log_file.read_text().strip().splitlines()[-1]
        assert "fedstate: The SuperLink does not accept this node's key: register it" in last
        with closing(NodeStore(state_directory(node))) as store:
            assert len(store.steps("committed") + store.steps("received")) == 1
