"""A file that matters is there as a whole, with its mode, or as it was before."""

import os
import stat
from pathlib import Path

import pytest

from fedstate.errors import SettingError
from fedstate.files import PRIVATE, PUBLIC, check_readable, listed, make_directory, write_new
from tests.bad_paths import bound_by_permissions


@pytest.mark.parametrize("mode", [PRIVATE, PUBLIC])
def test_a_file_has_its_mode_whatever_was_there_and_whatever_the_umask(
    tmp_path: Path, mode: int
) -> None:
    file = tmp_path / "new" / "directory" / "file"
    before = os.umask(0o077 if mode == PUBLIC else 0)
    try:
        for content in (b"first", b"second"):
            write_new(file, content, mode)
            assert file.read_bytes() == content
            assert stat.S_IMODE(file.stat().st_mode) == mode
            file.chmod(0o666)
    finally:
        os.umask(before)
    assert list(file.parent.iterdir()) == [file]


def test_what_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_new(file, b"first", PUBLIC)

    def full(_: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_new(file, b"second", PUBLIC)
    monkeypatch.undo()
    assert file.read_bytes() == b"first"
    write_new(file, b"third", PUBLIC)
    assert list(tmp_path.iterdir()) == [file], "what was left half is gone"


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "link").symlink_to("theirs")
    write_new(tmp_path / "link", b"ours", PRIVATE)
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert not (tmp_path / "link").is_symlink()


def test_what_an_option_names_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    check_readable("--key", tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    check_readable("--key", tmp_path / "pipe")  # nobody writes to it: opening it would wait
    with pytest.raises(SettingError, match=r"^--key names '.*', which cannot be read \(Is a dir"):
        check_readable("--key", str(tmp_path))
    with pytest.raises(SettingError, match=r"^--key names '.*/none', .* \(No such file"):
        check_readable("--key", tmp_path / "none")


def test_what_is_no_directory_does_not_exist_already_as_one(tmp_path: Path) -> None:
    make_directory(tmp_path / "a" / "b", 0o700)
    make_directory(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as raised:
        make_directory(tmp_path / "file")
    assert raised.value.filename == str(tmp_path / "file")


def test_what_is_in_a_directory_is_not_hidden_by_its_permissions(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).touch()
    assert listed(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert listed(tmp_path / "missing") == listed(tmp_path / "a") == []
    tmp_path.chmod(0)
    with bound_by_permissions(), pytest.raises(PermissionError):
        listed(tmp_path)
