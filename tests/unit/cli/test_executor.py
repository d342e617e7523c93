"""Every option that cannot be used ends in one sentence, before anything is started."""

import subprocess
import sys
from pathlib import Path

import pytest


def refusal(*options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fedstate", "executor", "--runtime-api-address", "a:1", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--root-certificates", "none.crt"), "names none.crt, where there is no file"),
        (("--insecure", "--root-certificates", "x"), "--insecure is given together with"),
        (("--superexec-auth-secret-file", "none"), "none, which cannot be read (No such file"),
        (("--executor", "kubernetes"), "'kubernetes', and this executor starts processes only"),
        (("--preload", "no_such_module"), "'no_such_module', which is not installed here"),
    ],
)
def test_a_mistake_in_one_sentence(options: tuple[str, ...], sentence: str) -> None:
    assert sentence in refusal(*options)


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    assert "which is empty" in refusal("--superexec-auth-secret-file", str(tmp_path / "secret"))
