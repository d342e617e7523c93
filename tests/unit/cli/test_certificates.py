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
        ("renew", "file", "--authority", "authority"),
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
    assert line.startswith(("fedstate: '", "fedstate: file has no server.crt"))
    assert (tmp_path / "file").read_text() == "a file, and no directory"


def renewed(*options: str, directory: Path) -> list[str]:
    authority = f"--authority={directory / 'authority'}"
    done = fedstate(
        *("certificates", "renew", authority, *options), directory / "link", directory / "public"
    )
    assert done.exit_code == 0, done.stderr
    return [line.removeprefix(f"{directory}/") for line in done.stdout.splitlines()]


def test_certificates_and_the_authority_are_renewed_step_by_step(tmp_path: Path) -> None:
    fedstate("certificates", "authority", tmp_path / "authority")
    fedstate(
        *("certificates", "server", tmp_path / "link", "--host", "here"),
        *("--authority", tmp_path / "authority"),
    )
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "ca.crt").write_bytes((tmp_path / "link" / "ca.crt").read_bytes())
    for options, what, authorities in (
        ((), "kept", 1),
        (("--force",), "renewed", 1),
        (("--new-authority",), "renewed", 2),
        (("--new-authority",), "kept", 2),
        (("--drop-old-authority",), "kept", 1),
    ):
        first, second = renewed(*options, directory=tmp_path)
        assert first.startswith(f"link: server.crt is {what}, until 20"), options
        assert second == "public: has what is to be trusted."
        trusted = (tmp_path / "public" / "ca.crt").read_text()
        assert trusted.count("BEGIN CERTIFICATE") == authorities, options


def test_two_steps_at_once_are_refused(tmp_path: Path) -> None:
    done = fedstate(
        *("certificates", "renew", tmp_path, "--authority", tmp_path),
        *("--new-authority", "--drop-old-authority"),
    )
    assert done.exit_code == 1
    assert "two steps, with time between them: give one." in done.stderr


def test_a_nodes_key_is_made_once_and_replaced_when_asked(tmp_path: Path) -> None:
    keys = []
    for options in ((), (), ("--replace",)):
        done = fedstate("certificates", "node", tmp_path, *options)
        assert done.exit_code == 0, done.stderr
        keys.append((tmp_path / "node.pub").read_text())
    assert keys[0] == keys[1] != keys[2]
    assert "fedstate node replace-key" in done.stdout
    done = fedstate("certificates", "node", tmp_path / "none", "--replace")
    assert (done.exit_code, "There is no" in done.stderr) == (1, True)
