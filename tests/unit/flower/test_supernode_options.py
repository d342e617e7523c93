"""The options of flower-supernode in our own type."""

from pathlib import Path

import pytest
from flwr.supernode.cli.flower_supernode import SuperNodeLifespanConfig

from fedstate.certificates.keys import ensure_node_key
from fedstate.flower.supernode_options import SuperNodeSettings, supernode_settings


def test_without_options_it_is_as_flower_supernode_is() -> None:
    settings = supernode_settings(["--insecure"])
    assert settings.superlink == "127.0.0.1:8000"
    assert settings.insecure
    assert settings.starts_executor
    unset = {name for name, value in vars(settings).items() if value is None}
    assert unset == {
        *("root_certificates", "keys", "max_retries", "max_wait_time", "trusted_entities"),
        *("executor_secret", "certificate_file", "key_file", "authority_file"),
        "health_address",
        "key_file_of_node",
    }
    assert settings.node_config == {}


def test_every_option_of_flwrs_arrives(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("authority")
    (tmp_path / "secret").write_text("0" * 64)
    options = {
        "--superlink": "superlink:9092",
        "--auth-supernode-private-key": str(ensure_node_key(tmp_path).with_suffix(".key")),
        "--root-certificates": str(tmp_path / "ca.pem"),
        "--isolation": "process",
        "--superexec-auth-secret-file": str(tmp_path / "secret"),
        "--max-retries": "3",
        "--max-wait-time": "2.5",
        "--node-config": "partition-id=1 name='a'",
        "--host": "127.0.0.2",
        "--port": "4711",
        "--health-server-address": "127.0.0.1:4712",
    }
    settings = supernode_settings([*(each for pair in options.items() for each in pair)])
    assert settings.superlink == "superlink:9092"
    assert not settings.insecure
    assert settings.root_certificates == tmp_path / "ca.pem", "the file, which may change"
    assert settings.keys is not None
    assert settings.key_file_of_node == tmp_path / "node.key", "the file, which may change"
    assert not settings.starts_executor
    assert settings.executor_secret
    assert (settings.max_retries, settings.max_wait_time) == (3, 2.5)
    assert settings.node_config == {"partition-id": 1, "name": "a"}
    assert (settings.host, settings.port) == ("127.0.0.2", 4711)
    assert settings.health_address == "127.0.0.1:4712"


def test_no_setting_of_flwrs_is_left_out() -> None:
    """A field that an upgrade of flwr brings is to be found here before users find it."""
    ours = len(SuperNodeSettings.__dataclass_fields__)
    both_in_one = {"runtime_certificates"}  # the files are handed to uvicorn
    theirs = set(SuperNodeLifespanConfig.__dataclass_fields__) - both_in_one
    assert len(theirs) == ours - len({"key_file_of_node"})


def test_an_unknown_option_ends_with_flwrs_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        supernode_settings(["--insecure", "--no-such-option"])
    assert ended.value.code == 2
    assert "flower-supernode: error: unrecognized arguments" in capsys.readouterr().err
