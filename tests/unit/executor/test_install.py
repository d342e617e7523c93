"""Installing an app from several tasks at once."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.stack.executor.conftest import probe_fab

from fedstate.executor.install import OtherAppError, install


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def fab() -> bytes:
    # Many files, so that a copy that is under way can be seen.
    return probe_fab(**{f"probe/part_{n}": f"number = {n}\n" for n in range(200)})


def test_whoever_is_told_where_an_app_is_finds_all_of_it(
    fab: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))

    def parts(_: int) -> int:
        return len(list((install(fab, "") / "probe").glob("part_*.py")))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(parts, range(8))) == [200] * 8


def test_what_was_left_half_made_is_neither_used_nor_in_the_way(
    fab: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    (tmp_path / "apps" / ".new-left" / "apps").mkdir(parents=True)
    place = install(fab, "")
    assert install(fab, "") == place
    assert (place / "pyproject.toml").is_file()


def test_an_app_that_was_not_ordered_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    content, ordered = probe_fab(), hash_of(b"another app")
    with pytest.raises(OtherAppError) as raised:
        install(content, ordered)
    assert ordered in str(raised.value)
    assert hash_of(content) in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def change(file: Path) -> None:
    file.write_text("raise SystemExit('changed')\n")


def link(file: Path) -> None:
    target = file.with_name("elsewhere")
    file.rename(target)
    file.symlink_to(target)


def link_its_directory(file: Path) -> None:
    target = file.parent.with_name("elsewhere")
    file.parent.rename(target)
    file.parent.symlink_to(target)


def put_a_directory_there(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "spoil", [change, Path.unlink, link, link_its_directory, put_a_directory_there]
)
def test_what_is_not_as_in_the_fab_is_put_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], object],
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    content = probe_fab()
    file = install(content, hash_of(content)) / "probe" / "client_app.py"
    right = file.read_bytes()
    (file.parent / "uv.lock").touch()
    install(content, hash_of(content))
    assert caplog.records == []
    assert (file.parent / "uv.lock").exists()
    spoil(file)
    install(content, hash_of(content))
    assert file.read_bytes() == right
    assert not file.is_symlink()
    assert not file.parent.is_symlink()
    assert "is not what its FAB says (probe" in caplog.text
