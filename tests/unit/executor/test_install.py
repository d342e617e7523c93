"""Installing an app from several tasks at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.stack.executor.conftest import probe_fab

from fedstate.executor.install import install


@pytest.fixture
def fab() -> bytes:
    # Many files, so that a copy that is under way can be seen.
    return probe_fab(**{f"probe/part_{n}": f"number = {n}\n" for n in range(200)})


def test_whoever_is_told_where_an_app_is_finds_all_of_it(
    fab: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))

    def parts(_: int) -> int:
        return len(list((install(fab) / "probe").glob("part_*.py")))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(parts, range(8))) == [200] * 8


def test_what_was_left_half_made_is_neither_used_nor_in_the_way(
    fab: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    (tmp_path / "apps" / ".new-left" / "apps").mkdir(parents=True)
    place = install(fab)
    assert install(fab) == place
    assert (place / "pyproject.toml").is_file()
