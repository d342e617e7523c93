"""Every option that cannot be used ends in one sentence, before anything is started."""

from pathlib import Path

import pytest
from tests.commands import fedstate


def refusal(*options: str) -> str:
    done = fedstate("executor", "--runtime-api-address", "a:1", *options)
    assert done.exit_code == 1
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
