"""The commands that make keys: what they write, and how a mistake ends."""

from pathlib import Path

import pytest
from tests.commands import fedstate


def test_the_files_of_a_federation_are_made(tmp_path: Path) -> None:
    for arguments in (
        ("authority", tmp_path / "authority"),
        ("server", tmp_path / "link", "--authority", tmp_path / "authority", "--host", "here"),
        ("node", tmp_path / "node"),
        ("secret", tmp_path / "secret"),
    ):
        done = fedstate("certificates", *arguments)
        assert done.exit_code == 0, done.stderr
    made = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert made == {
        *("authority/ca.crt", "authority/ca.key"),
        *("link/ca.crt", "link/server.crt", "link/server.key"),
        *("node/node.key", "node/node.pub"),
        "secret",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("authority", "file"),
        ("node", "file"),
        ("secret", "file/secret"),
        ("secret", "."),
        ("server", "link", "--authority", "file", "--host", "here"),
        ("server", "file", "--authority", "authority", "--host", "here"),
        ("server", "link", "--authority", "authority", "--host", "here:8000"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file, and no directory")
    done = fedstate("certificates", *arguments)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("fedstate: '")
    assert (tmp_path / "file").read_text() == "a file, and no directory"
