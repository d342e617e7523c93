"""A demo that cannot be is refused in one sentence."""

import fcntl
from pathlib import Path

import pytest
from tests.commands import fedstate


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--nodes", "0"), "A federation of 0 nodes cannot be; ask for 1 or more."),
        (
            ("--output", "file"),
            "'file' is not a directory. Give the path of a directory, or of a file in one.",
        ),
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
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "pyproject.toml").touch()
    done = fedstate("demo", *options)
    assert done.exit_code == 1
    assert done.stderr == f"fedstate: {sentence}\n"


def test_two_demos_do_not_share_a_directory(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = fedstate("demo", "--output", tmp_path)
    assert done.exit_code == 1
    assert f"Another demo is running in {tmp_path}; wait for it" in done.stderr
