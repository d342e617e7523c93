"""What cannot be started ends in one sentence, before anything is started."""

import socket
from pathlib import Path

import pytest
from tests.commands import fedstate


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--nodes", "0"), "A federation of 0 nodes cannot be; ask for 1 or more."),
        (("--port", "70000"), "Port 70000 cannot be; choose one from 1 to 65535 with --port."),
        (("--directory", "file"), "authority' cannot be used (Not a directory)."),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = fedstate("local", "up", *options)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith(sentence)
    assert not list(tmp_path.rglob("log"))


def test_a_port_that_is_taken_is_said_with_its_number(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = fedstate("local", "up", "--port", str(port), "--directory", tmp_path)
    assert done.exit_code == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in done.stderr
