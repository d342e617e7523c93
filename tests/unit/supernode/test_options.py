"""The command line of ``fedstate supernode``, and what keeps it from starting."""

import os
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedstate.local.launcher import shared_launcher
from fedstate.local.process import free_port
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

FEDSTATE = Path(sys.executable).parent / "fedstate"


@dataclass(frozen=True)
class Done:
    """How a SuperNode ended, and all that it said."""

    returncode: int
    output: str


def supernode(tmp_path: Path, *options: str | Path) -> Done:
    """Run a SuperNode that gives up after its first try to connect."""
    environment = {
        **os.environ,
        "FLWR_HOME": str(tmp_path / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }
    command = [
        *(str(FEDSTATE), "supernode", "--insecure", "--superlink", "127.0.0.1:9"),
        *("--port", str(free_port()), "--isolation", "process", "--max-retries", "0"),
        *map(str, options),
    ]
    # flwr is imported once for all of these.
    output = tmp_path / "output"
    returncode = shared_launcher()(command, environment, output).wait(120)
    return Done(returncode, output.read_text())


def store(directory: Path, key: bytes | None = None, node: str | None = None) -> None:
    with closing(NodeStore(directory, key=key)) as opened:
        if node:
            opened.bind(node)
        run = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
        opened.add_run(run, Value(b"record"), Value(b"fab"), Value(b"context", [b"x" * 9000]))


def refused(done: Done, *texts: str) -> None:
    assert done.returncode == 1, done.output
    for text in texts:
        assert text in done.output
    assert "Traceback" not in done.output


def test_a_superlink_that_is_away_is_said_when_patience_ends(tmp_path: Path) -> None:
    refused(supernode(tmp_path), "could not connect to the SuperLink", "cannot be reached")


def test_a_damaged_store_keeps_it_from_starting(tmp_path: Path) -> None:
    store(tmp_path / "state")
    database = tmp_path / "state" / "node.db"
    content = database.read_bytes()
    database.write_bytes(content.replace(b"x" * 500, b"y" * 500))
    refused(
        supernode(tmp_path, "--state", tmp_path / "state"),
        "does not have its checksum",
        "fedstate state restore BACKUP",
    )


def test_a_missing_database_keeps_it_from_starting(tmp_path: Path) -> None:
    store(tmp_path / "state")
    (tmp_path / "state" / "node.db").unlink()
    refused(supernode(tmp_path, "--state", tmp_path / "state"), "'node.db' is missing")


def test_a_wrong_key_keeps_it_from_starting(tmp_path: Path) -> None:
    store(tmp_path / "state", key=b"\1" * 32)
    (tmp_path / "key").write_text("02" * 32)
    refused(
        supernode(tmp_path, "--state", tmp_path / "state", "--state-key", tmp_path / "key"),
        "is not the key of this node store",
    )


def test_the_store_of_another_node_keeps_it_from_starting(tmp_path: Path) -> None:
    store(tmp_path / "state", node="SHA256:another")
    refused(
        supernode(tmp_path, "--state", tmp_path / "state"),
        "belongs to the node with key SHA256:another",
    )


def test_a_list_of_allowed_apps_that_is_wrong_keeps_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / "allow.toml").write_text('[[allow]]\nhash = "9f86d081"')
    refused(supernode(tmp_path, "--allow", tmp_path / "allow.toml"), "with 8 digits of 64")


def test_a_socket_in_no_directory_keeps_it_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "api.sock"
    refused(
        supernode(tmp_path, "--runtime-socket", path),
        f"fedstate: --runtime-socket is '{path}', and there is no directory '{path.parent}': ",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--retain", "soon"], "'soon' is not a time such as 90s, 12h or 30d"),
        (["--retain-size", "20"], "'20' is not a size such as 500M or 20G"),
        (["--concurrency", "0"], "'0' is not a whole number of 1 or more"),
        (["--keep-log", "0"], "'0' is not a whole number of 1 or more"),
        (["--keep", "0"], "'0' is not a whole number of 1 or more"),
        (["--from-run", "mine"], "'mine' is none of never, same-app, any"),
        (["--poll-interval", "-1"], "'-1' is not a number of seconds above 0"),
        (["--poll-interval", "nan"], "'nan' is not a number of seconds above 0"),
        (["--runtime-socket"], "argument --runtime-socket: expected one argument"),
        (["--no-such-option"], "unrecognized arguments: --no-such-option"),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path: Path, options: list[str], message: str) -> None:
    done = supernode(tmp_path, *options)
    assert done.returncode == 2
    assert message in done.output
    assert "Traceback" not in done.output


def test_help_lists_flwrs_options_and_ours(tmp_path: Path) -> None:
    shown = supernode(tmp_path, "--help")
    assert shown.returncode == 0
    for option in ("--superlink", "--node-config", "--state-key", "--retain-size", "--allow"):
        assert option in shown.output
