"""The Control API of our SuperLink, as our client asks it."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.contract.flower.in_process import APP, SuperLink
from tests.contract.flower.in_process_run import Node, Run

from fedstate.errors import FederationError
from fedstate.flower.control import Control


@pytest.fixture
def control(superlink: SuperLink) -> Control:
    return superlink.control()


@pytest.fixture
def public_key(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    file = tmp_path / "node.pub"
    file.write_bytes(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    return file


def test_a_runs_status_is_told_until_its_end(run: Run, control: Control) -> None:
    assert control.run_status(run.id) == "running"
    run.end()
    assert control.run_status(run.id) == "finished:completed"


def test_a_run_is_started_with_its_config(superlink: SuperLink, control: Control) -> None:
    run_id = control.start_run(APP, {"rounds": 7})
    (info,) = superlink.state.get_run_info(run_ids=[run_id])
    assert info.override_config == {"rounds": 7}
    assert control.run_status(run_id) == "pending"
    superlink.state.stop_run(run_id)


def test_what_the_superlink_refuses_is_told_in_its_words(control: Control) -> None:
    with pytest.raises(FederationError, match="says: "):
        control.start_run(APP, {"no-such-key": 1})


def test_nodes_are_known_by_their_keys_and_whether_they_are_online(
    superlink: SuperLink, node: Node, control: Control
) -> None:
    def found() -> tuple[bytes, bool]:
        (one,) = [each for each in control.nodes() if each.node_id == node.id]
        return one.public_key, one.online

    assert found() == (node.public_key, True)
    superlink.lapse(node.id)
    assert found() == (node.public_key, False)


def test_a_key_is_registered_once(
    control: Control, public_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert control.register(public_key) is True
    assert control.register(public_key) is False
    # Two that ask at the same moment: the SuperLink says that it has the key.
    answers = [[], control.nodes()]
    monkeypatch.setattr(control, "nodes", lambda: answers.pop(0))
    assert control.register(public_key) is False
