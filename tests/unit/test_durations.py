"""Times and sizes as people write them."""

import pytest

from fedstate.durations import bytes_of, seconds_of
from fedstate.errors import SettingError


def test_units() -> None:
    assert [seconds_of(text) for text in ("0s", "90s", "1.5m", "12h", "2d")] == [
        *(0, 90, 90, 43200, 172800)
    ]
    assert [bytes_of(text) for text in ("1K", "0.5M", "20G")] == [1024, 524288, 20 * 2**30]


@pytest.mark.parametrize("text", ["", "1", "d", "-1d", "1 d", "1w", "1dd", "nand"])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(SettingError, match=f"'{text}' is not a time such as 90s"):
        seconds_of(text)
