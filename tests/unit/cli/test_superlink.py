"""The command hands flwr's options on, and ends as flwr's parser says."""

import pytest
from tests.commands import fedstate


@pytest.mark.parametrize(
    ("option", "code", "text"),
    [
        ("--help", 0, "usage: fedstate superlink"),
        ("--no-such-option", 2, "unrecognized arguments: --no-such-option"),
    ],
)
def test_flwrs_parser_has_the_last_word(option: str, code: int, text: str) -> None:
    done = fedstate("superlink", option)
    assert done.exit_code == code
    assert text in done.stdout + done.stderr
