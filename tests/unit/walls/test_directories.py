"""Directories of runs belong to the run's user, and nothing of them stays."""

import ctypes
import os
from pathlib import Path

import pytest

from fedstate.errors import SettingError
from fedstate.walls import Walls
from fedstate.walls.directories import (
    begin_to_delete,
    begin_to_measure,
    create,
    delete_system_v,
    measured,
    prepare_rooms,
)
from fedstate.walls.users import free_user, owners
from tests.unit.walls.conftest import become, behind, in_child

_DEEP = 300


def delete(directory: Path, user: int | None) -> None:
    process = begin_to_delete(directory, user)
    assert process is not None
    process.wait(30)


def fill(directory: Path) -> None:
    """Leave what is hard to delete."""
    os.chdir(directory)
    (directory / "big").write_bytes(b"x" * 1_000_000)
    (directory / "closed/inner").mkdir(parents=True)
    (directory / "closed/inner/file").touch()
    (directory / "closed").chmod(0)
    (directory / "-rf").touch()
    (directory / "link").symlink_to("/")
    for _ in range(_DEEP):
        os.mkdir("d" * 50)  # noqa: PTH102
        os.chdir("d" * 50)


@pytest.mark.parametrize("own_user", [False, True])
def test_a_run_s_directory_is_measured_and_deleted(rooms: Path, own_user: bool) -> None:
    if own_user and os.geteuid():
        pytest.skip("only root can become another user")
    user = free_user(rooms) if own_user else None
    directory = rooms / "run"
    create(directory, user)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert owners(rooms) == {directory: os.getuid() if user is None else user}
    behind(Walls(directory, user), lambda: fill(directory))
    # The big file, and every entry as much as a block.
    measuring = begin_to_measure(directory, user)
    assert measuring is not None
    assert 1_000_000 + _DEEP * 4096 <= measured(measuring) < 5_000_000
    delete(directory, user)
    if directory.exists():  # empty, and for the owner of the one above to remove
        directory.rmdir()
    assert not directory.exists()
    assert Path("/etc").is_dir()


def test_a_directory_that_is_there_is_not_taken_over(rooms: Path) -> None:
    create(rooms / "run", None)
    with pytest.raises(FileExistsError):
        create(rooms / "run", None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_a_user_left_elsewhere_is_deleted(rooms: Path) -> None:
    user = free_user(rooms)

    def leave() -> str:
        become(user)
        for place in ("/tmp", "/dev/shm"):  # noqa: S108
            Path(place, f"left-behind-{user}").touch()
        return str(ctypes.CDLL(None).shmget(0, 4096, 0o600 | 0o1000))

    segment = in_child(leave)
    assert any(row.split()[1] == segment for row in _segments())
    create(rooms / "run", user)
    delete(rooms / "run", user)
    delete_system_v(user)
    assert not Path(f"/tmp/left-behind-{user}").exists()  # noqa: S108
    assert not Path(f"/dev/shm/left-behind-{user}").exists()  # noqa: S108
    assert not any(row.split()[1] == segment for row in _segments())


def _segments() -> list[str]:
    return Path("/proc/sysvipc/shm").read_text().splitlines()[1:]


def test_rooms_are_passed_through_and_not_listed(tmp_path: Path) -> None:
    path = prepare_rooms(tmp_path / "a/rooms")
    assert path.stat().st_mode & 0o777 == 0o711
    assert prepare_rooms(path) == path


def test_rooms_of_somebody_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(SettingError, match="--rooms is"):
            prepare_rooms(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rooms").mkdir()
    os.chown(tmp_path / "rooms", 65534, 65534)
    with pytest.raises(SettingError, match="not a directory of this user"):
        prepare_rooms(tmp_path / "rooms")
