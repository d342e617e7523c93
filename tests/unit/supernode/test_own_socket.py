"""The socket of a SuperNode that starts its executor itself."""

import logging
import os
import stat
from pathlib import Path

import pytest

from fedstate.supernode.own_socket import own_socket
from fedstate.unix_sockets import listen


def test_it_is_in_the_state_directory_where_runs_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("state").mkdir(mode=0o700)
    path = own_socket(Path("state"))
    assert path == tmp_path / "state" / "runtime" / "api.sock"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o711
    assert not path.exists()
    assert own_socket(Path("state")) == path, "at the next start, too"


def test_what_a_killed_supernode_has_left_is_no_hindrance(tmp_path: Path) -> None:
    path = own_socket(tmp_path)
    assert path is not None
    listen(path, 1, what="API").socket.close()
    assert own_socket(tmp_path) == path


def test_where_it_cannot_be_the_executor_connects_by_tcp(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "runtime").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert own_socket(tmp_path) is None
    assert "The executor connects by TCP: " in caplog.text
    assert os.listdir(tmp_path) == ["runtime"]  # noqa: PTH208
