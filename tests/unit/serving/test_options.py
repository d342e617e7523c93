"""The options for limits."""

import argparse

import pytest

from fedstate.serving.limits import Limits
from fedstate.serving.options import add_limit_options, limits_of


def read(*arguments: str) -> Limits:
    parser = argparse.ArgumentParser()
    add_limit_options(parser)
    return limits_of(parser.parse_args(arguments))


def test_without_options_they_are_the_defaults() -> None:
    assert read() == Limits()


@pytest.mark.parametrize(
    ("text", "size"), [("500M", 500 * 2**20), ("1M", 2**20), ("2G", 2**31 - 1), ("2048K", 2**21)]
)
def test_a_size_has_a_unit(text: str, size: int) -> None:
    assert read("--max-message", text).message_bytes == size


@pytest.mark.parametrize("text", ["", "0", "3G", "1K", "500", "-1M", "1.5G", "1T", "many"])
def test_a_size_that_cannot_be_used_is_said(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read(f"--max-message={text}")
    assert f"'{text}' is not a size from 1M to 2G" in capsys.readouterr().err


def test_few_connections_leave_half_of_them_to_who_is_known() -> None:
    limits = read("--max-connections", "100")
    assert (limits.connections, limits.strangers, limits.strangers_of_peer) == (100, 50, 50)
    assert read("--max-connections", "5000").strangers == Limits().strangers


@pytest.mark.parametrize("text", ["", "15", "-20", "1.5", "many"])
def test_a_count_that_cannot_be_used_is_said(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read(f"--max-connections={text}")
    assert f"'{text}' is not a whole number of 16 or more" in capsys.readouterr().err
