"""The command hands flwr's options on with ours, and ends as the parser and the settings say."""

from pathlib import Path

import pytest
from tests.commands import fedstate


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("--help",), 0, "durable client state"),
        (("--no-such-option",), 2, "unrecognized arguments: --no-such-option"),
        (("--insecure", "--retain", "soon"), 2, "'soon' is not a time such as"),
        (("--insecure", "--state-key", "none"), 1, "fedstate: "),
    ],
)
def test_options_are_read_by_one_parser(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    code: int,
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = fedstate("supernode", *options)
    assert done.exit_code == code
    assert text in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
