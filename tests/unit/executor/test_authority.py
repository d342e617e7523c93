"""The authority that rooms have a copy of, while its file changes."""

from pathlib import Path

import pytest

from fedstate.certificates.authority import make_authority
from fedstate.executor.authority import FollowedAuthority


@pytest.fixture
def file(tmp_path: Path) -> Path:
    make_authority(tmp_path)
    return tmp_path / "ca.crt"


def test_a_new_content_is_taken_in_once(file: Path, tmp_path: Path) -> None:
    authority = FollowedAuthority(str(file))
    before = file.read_text()
    assert authority.content == before
    assert not authority.changed()
    make_authority(tmp_path / "new")
    (tmp_path / "new" / "ca.crt").replace(file)
    assert authority.changed()
    assert not authority.changed()
    assert authority.content == file.read_text() != before


def test_the_same_content_is_no_change(file: Path) -> None:
    authority = FollowedAuthority(str(file))
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    assert not authority.changed()


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nMII", b"\xff"])
def test_what_is_no_certificate_is_not_taken_in(file: Path, content: bytes | None) -> None:
    authority = FollowedAuthority(str(file))
    good = file.read_text()
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert not authority.changed()
    assert authority.content == good
    file.write_text(good + good)
    assert authority.changed()


def test_without_a_file_there_is_nothing_to_follow() -> None:
    authority = FollowedAuthority(None)
    assert authority.content is None
    assert not authority.changed()
