"""Contents in files: checked, deleted with what names them, and never taken for others."""

import hashlib
import os
import resource
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fedstate.errors import SettingError
from fedstate.objects.contents import Arrived, DamagedContentError, Place
from fedstate.objects.files import ObjectFiles, is_full
from tests.small_disk import small_disk

FIRST, SECOND = os.urandom(100_000), os.urandom(3_000_000)


def id_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def opened(directory: Path, named: Sequence[str] = ()) -> ObjectFiles:
    files = ObjectFiles(directory / "objects")
    files.open(named)
    return files


@pytest.fixture
def files(tmp_path: Path) -> ObjectFiles:
    return opened(tmp_path)


def write(files: ObjectFiles, *contents: bytes, keep: bool = True) -> list[Arrived]:
    with files.arrival() as arrival:
        for each in contents:
            arrival.take([len(each), each[:70_000], memoryview(each)[70_000:]])
        arrival.finish()
        if keep:
            arrival.keep()
    return arrival.arrived


def names(files: ObjectFiles) -> set[str]:
    return {each.name for each in files.directory.iterdir()} - {"lock"}


def test_contents_are_found_where_they_were_written(files: ObjectFiles) -> None:
    arrived = write(files, FIRST, SECOND)
    assert [each.object_id for each in arrived] == [id_of(FIRST), id_of(SECOND)]
    assert len(names(files)) == 1
    for each, content in zip(arrived, (FIRST, SECOND), strict=True):
        stored = files.content(each.place, each.object_id)
        assert (len(stored), stored.read(), each.read()) == (len(content), content, content)
        assert stored.read(1000, 50) == content[1000:1050]
        assert stored.read_if_cached(1000, 50) in (content[1000:1050], None)


@pytest.mark.parametrize("committed", [True, False])
def test_what_a_transaction_names_waits_for_its_end(files: ObjectFiles, committed: bool) -> None:
    with files.arrival() as arrival:
        arrival.take([len(FIRST), FIRST])
        arrival.finish()
        arrival.claim()
    assert names(files) == {arrival.name}
    if committed:
        arrival.keep()
    arrival.give_up()  # a later transaction of the same session, after a commit
    assert names(files) == ({arrival.name} if committed else set())


def test_what_is_not_kept_is_deleted(files: ObjectFiles) -> None:
    write(files, FIRST, keep=False)
    assert names(files) == set()


def test_what_no_row_names_goes_at_the_next_start(tmp_path: Path) -> None:
    files = opened(tmp_path)
    (kept,), (left,) = write(files, FIRST), write(files, SECOND)
    (files.directory / "cut off").write_bytes(b"...")
    files.close()
    again = opened(tmp_path, [kept.place.file])
    assert names(again) == {kept.place.file}
    assert again.content(kept.place, kept.object_id).read() == FIRST
    with pytest.raises(DamagedContentError, match="missing"):
        again.content(left.place, left.object_id)


def test_nothing_is_deleted_beside_another_process_that_writes(files: ObjectFiles) -> None:
    (arriving,) = write(files, FIRST)
    other = ObjectFiles(files.directory)
    other.open([])
    assert names(other) == {arriving.place.file}


def test_a_content_that_was_opened_outlives_its_file(files: ObjectFiles) -> None:
    (arrived,) = write(files, FIRST)
    stored = files.content(arrived.place, arrived.object_id)
    files.delete([arrived.place.file])
    assert names(files) == set()
    assert stored.read() == FIRST


def flip(file: Path) -> None:
    with file.open("r+b") as opened_file:
        opened_file.seek(1234)
        byte = opened_file.read(1)[0]
        opened_file.seek(1234)
        opened_file.write(bytes([byte ^ 4]))


def another(file: Path) -> None:
    """Put another file of the same size in its place, as an older copy would be."""
    content = os.urandom(file.stat().st_size)
    file.unlink()
    file.write_bytes(content)


def directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (Path.unlink, "is missing"),
    "a bit": (flip, "has changed"),
    "cut off": (lambda file: os.truncate(file, 5000), "ends too early"),
    "empty": (lambda file: os.truncate(file, 0), "ends too early"),
    "another": (another, "has changed"),
    "a directory": (directory, "cannot be read"),
}


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_an_error_by_name(
    files: ObjectFiles, tmp_path: Path, damage: str, restarted: bool
) -> None:
    (arrived,) = write(files, FIRST)
    assert files.content(arrived.place, arrived.object_id).read() == FIRST
    change, reason = DAMAGES[damage]
    change(files.path(arrived.place.file))
    if restarted:
        files = ObjectFiles(files.directory)
    with pytest.raises(DamagedContentError, match=reason) as damaged:
        files.content(arrived.place, arrived.object_id)
    assert arrived.place.file in str(damaged.value)


def test_too_many_open_files_are_no_damage(files: ObjectFiles, tmp_path: Path) -> None:
    (arrived,) = write(files, FIRST)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = os.open(tmp_path, os.O_RDONLY)
    os.close(highest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            files.content(arrived.place, arrived.object_id)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert files.content(arrived.place, arrived.object_id).read() == FIRST


def test_a_file_that_is_as_it_was_is_read_once_and_not_checked_again(
    files: ObjectFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[int] = []
    check = ObjectFiles._check

    def counted(*given: Any) -> None:
        checks.append(1)
        check(*given)

    monkeypatch.setattr(ObjectFiles, "_check", counted)
    (arrived,) = write(files, FIRST)
    files.content(arrived.place, arrived.object_id)
    assert not checks
    again = ObjectFiles(files.directory)
    for _ in range(3):
        again.content(arrived.place, arrived.object_id)
    assert len(checks) == 1


def test_a_place_beyond_the_content_is_another_content(files: ObjectFiles) -> None:
    (arrived,) = write(files, FIRST)
    for place in (Place(arrived.place.file, 1, 10), Place(arrived.place.file, 99_999, 10)):
        with pytest.raises(DamagedContentError):
            files.content(place, arrived.object_id)


def test_the_head_of_a_content_is_found_however_long_it_is(files: ObjectFiles) -> None:
    for length in (0, 10, 4095, 4096, 5000, 80_000):
        content = b"x" * length + b"\0" + os.urandom(100_000)
        (arrived,) = write(files, content)
        assert arrived.head(b"\0") == b"x" * length
    (arrived,) = write(files, b"x" * 100_000)
    assert arrived.head(b"\0") is None


def test_an_arrival_that_is_closed_while_it_waits_for_a_thread_leaves_nothing(
    files: ObjectFiles,
) -> None:
    with files.arrival() as arrival:
        pass
    arrival.take([10, b"0123456789"])
    assert names(files) == set()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        files = opened(disk)
        with pytest.raises(OSError, match="No space") as full:
            write(files, SECOND)
        assert is_full(full.value)
        assert full.value.filename
        del full  # whose traceback has the file open
        assert names(files) == set()
        (arrived,) = write(files, FIRST)
        assert files.content(arrived.place, arrived.object_id).read() == FIRST
        files.close()
        shutil.rmtree(disk / "objects")


@pytest.mark.parametrize("obstacle", ["a file", "no directory above"])
def test_a_directory_that_cannot_be_used_is_one_sentence(tmp_path: Path, obstacle: str) -> None:
    directory = tmp_path / ("x/objects" if obstacle == "no directory above" else "objects")
    if obstacle == "a file":
        directory.write_text("")
    with pytest.raises(SettingError, match=r"beside the SuperLink's database: '.*'"):
        ObjectFiles(directory).open([])
