"""Files of content: what is named when one is not what was written, and who may remove them."""

import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from tests.bad_paths import bound_by_permissions

from fedstate.store.content import (
    PAGE_BYTES,
    ContentDirectory,
    ContentInBackup,
    NoContent,
    first_page,
    name_of,
    number_of,
    reading,
    removing,
    whole_pages,
)
from fedstate.store.errors import DamagedValueError, StoreError

NUMBER = 0x00AB_0000_0000_0001
SIZE = 3 * PAGE_BYTES


@pytest.fixture
def content(tmp_path: Path) -> ContentDirectory:
    found = ContentDirectory(tmp_path)
    found.path.mkdir()
    found.file(NUMBER).write_bytes(first_page(NUMBER) + b"a" * PAGE_BYTES + b"b" * PAGE_BYTES)
    return found


@pytest.mark.parametrize("number", [0, 1, NUMBER, 2**63 - 1])
def test_names_and_numbers(number: int) -> None:
    assert number_of(name_of(number)) == number
    assert len(first_page(number)) == PAGE_BYTES
    assert first_page(number) != first_page(number ^ 1)


@pytest.mark.parametrize(
    "name", ["", "node.db", "1.content", f"{name_of(1)}.part", "x" + name_of(1)]
)
def test_what_is_no_name(name: str) -> None:
    assert number_of(name) is None


@pytest.mark.parametrize(
    ("size", "pages"), [(0, 0), (1, 1), (PAGE_BYTES, 1), (PAGE_BYTES + 1, 2)]
)
def test_whole_pages(size: int, pages: int) -> None:
    assert whole_pages(size) == pages * PAGE_BYTES


def test_bytes_are_read_where_they_are(content: ContentDirectory) -> None:
    assert content.read(NUMBER, PAGE_BYTES, 5) == b"aaaaa"
    assert content.read(NUMBER, 2 * PAGE_BYTES - 1, 2) == b"ab"
    assert content.problem(NUMBER, SIZE) is None
    assert content.files().keys() == {NUMBER}


def cut_off(path: Path) -> None:
    os.truncate(path, SIZE - 1)


def added_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def another(path: Path) -> None:
    path.write_bytes(first_page(NUMBER + 1).ljust(SIZE, b"a"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.unlink, "is missing"),
        (cut_off, f"is cut off, it has {SIZE - 1} of {SIZE} bytes"),
        (added_to, f"was added to, it has {SIZE + 4} bytes instead of {SIZE}"),
        (another, "is another file"),
        (lambda path: os.truncate(path, 0), f"is cut off, it has 0 of {SIZE} bytes"),
    ],
)
def test_each_damage_is_named(content: ContentDirectory, damage: object, said: str) -> None:
    assert callable(damage)
    damage(content.file(NUMBER))
    problem = content.problem(NUMBER, SIZE)
    assert problem is not None
    assert said in problem
    assert f"'node.content/{name_of(NUMBER)}'" in problem


def test_what_cannot_be_read_is_refused(content: ContentDirectory) -> None:
    with pytest.raises(DamagedValueError, match="is cut off"):
        content.read(NUMBER, SIZE - 1, 2)
    with pytest.raises(DamagedValueError, match="is missing"):
        content.read(NUMBER + 1, 0, 1)
    content.file(NUMBER).unlink()
    content.file(NUMBER).mkdir()
    with pytest.raises(DamagedValueError, match="cannot be read"):
        content.read(NUMBER, 0, 1)
    with pytest.raises(DamagedValueError, match="is missing"):
        NoContent().read(NUMBER, 0, 1)
    assert "is missing" in str(NoContent().problem(NUMBER, 1))


def test_content_in_a_backup(content: ContentDirectory, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.write_bytes(b"before" + content.file(NUMBER).read_bytes())
    inside = ContentInBackup(backup, 6, NUMBER, SIZE)
    assert inside.read(NUMBER, PAGE_BYTES, 5) == b"aaaaa"
    assert inside.problem(NUMBER, SIZE) is None
    assert "is cut off" in str(inside.problem(NUMBER, SIZE + 1))
    assert "is missing" in str(inside.problem(NUMBER + 1, SIZE))
    for file_id, start in ((NUMBER + 1, 0), (NUMBER, SIZE)):
        with pytest.raises(DamagedValueError, match="is missing"):
            inside.read(file_id, start, 1)


def test_nothing_is_there_before_the_first_file(tmp_path: Path) -> None:
    content = ContentDirectory(tmp_path)
    assert (content.files(), content.others(), content.disk_bytes) == ({}, [], 0)


def test_who_reads_keeps_others_from_removing(tmp_path: Path) -> None:
    with reading(tmp_path), reading(tmp_path), removing(tmp_path) as alone:
        assert not alone
    with removing(tmp_path) as alone:
        assert alone
    assert list(tmp_path.iterdir()) == []


@contextmanager
def _no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in taken:
            os.close(each)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(_no_descriptor_left, "too many files open"), (bound_by_permissions, "permission denied")],
)
def test_what_says_nothing_of_a_file_does_not_count_as_damage(
    content: ContentDirectory, trouble: Callable[[], AbstractContextManager[None]], said: str
) -> None:
    may_be_read = trouble is not bound_by_permissions
    content.file(NUMBER).chmod(0o600 if may_be_read else 0)
    path = re.escape(str(content.file(NUMBER)))
    with trouble():
        with pytest.raises(StoreError, match=f"'{path}' .*{said}"):
            content.read(NUMBER, 0, 1)
        with pytest.raises(StoreError, match=f"'{path}' .*{said}"):
            content.problem(NUMBER, SIZE)
    assert content.problem(NUMBER, SIZE) is None
