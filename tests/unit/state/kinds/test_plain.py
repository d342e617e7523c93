"""Plain values whose form says more than their type: zones, paths, exact numbers, chance."""

import datetime
import io
import pathlib
import random
import struct
import zoneinfo

import pytest

from fedstate.state import StateTypeError
from tests.unit.state.steps import digest_of, stored_and_read

TYPE = struct.pack(">lbb", 0, 0, 0) + b"UTC\0"


def test_a_moment_keeps_its_zone_and_its_fold() -> None:
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    twice = datetime.datetime(2026, 10, 25, 2, 30, tzinfo=zone, fold=1)
    back = stored_and_read(twice)
    assert (back, back.fold, back.tzinfo) == (twice, 1, zone)
    assert back.utcoffset() == datetime.timedelta(hours=1)
    assert digest_of([twice]) != digest_of([twice.replace(fold=0)])


def test_a_zone_from_a_file_is_refused_with_what_to_use() -> None:
    # The file of a zone without rules, in the first version of its format.
    file = io.BytesIO(b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + TYPE)
    zone = zoneinfo.ZoneInfo.from_file(file)
    with pytest.raises(StateTypeError, match=r"0 is a ZoneInfo that was read from a file"):
        stored_and_read([zone])


def test_paths_are_not_made_normal_and_keep_their_class() -> None:
    for path in (
        pathlib.PurePosixPath("a/../b"),
        pathlib.PureWindowsPath("C:\\a"),
        pathlib.Path(),
    ):
        back = stored_and_read(path)
        assert (type(back), str(back)) == (type(path), str(path))


def test_a_random_sequence_goes_on_after_half_a_pair() -> None:
    chance = random.Random(3)  # noqa: S311
    chance.gauss(0, 1)
    back = stored_and_read(chance)
    assert [back.gauss(0, 1), back.random()] == [chance.gauss(0, 1), chance.random()]
