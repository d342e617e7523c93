"""Every value that cannot be used ends in one sentence."""

from pathlib import Path

import pytest

from fedstate.errors import SettingError
from fedstate.executor import room_settings


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500m", 500 * 1024**2),
        ("2g", 2 * 1024**3),
        ("1.5GiB", 3 * 1024**3 // 2),
        ("3 kB", 3072),
        ("1T", 1024**4),
        (None, None),
    ],
)
def test_a_size_is_a_number_with_a_unit(text: str | None, size: int | None) -> None:
    assert room_settings.size_of("--max-memory", text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "2x", "1e9", "g", "nan", "2 g b"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"--max-files is '.*', which is no size: give"):
        room_settings.size_of("--max-files", text)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(SettingError, match=f"--closed-port is {port}, which is no port"):
        room_settings.ports("--closed-port", [22, port])
    assert room_settings.ports("--closed-port", [22]) == (22,)


def test_paths_have_to_be_there(tmp_path: Path) -> None:
    assert room_settings.existing("--readable", [tmp_path]) == (tmp_path,)
    assert room_settings.existing("--readable", None) == ()
    with pytest.raises(SettingError, match=r"--readable names .*none, which does not exist"):
        room_settings.existing("--readable", [tmp_path / "none"])


def test_there_are_three_kinds_of_walls() -> None:
    for value in ("auto", "require", "none"):
        assert room_settings.checked_walls(value) == value
    with pytest.raises(SettingError, match="--walls is 'some': give 'auto'"):
        room_settings.checked_walls("some")
