"""Installing an app from several tasks at once."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.supercore.fab import Fab
from flwr.supercore.run import Run
from tests.stack.executor.conftest import probe_fab

from fedstate.flower.fab import install


@pytest.fixture
def fab() -> Fab:
    # Many files, so that a copy that is under way can be seen.
    content = probe_fab(**{f"probe/part_{n}": f"number = {n}\n" for n in range(200)})
    return Fab(hashlib.sha256(content).hexdigest(), content, {})


@pytest.fixture
def run(fab: Fab) -> Run:
    return replace(
        Run.create_empty(1), fab_id="fedstate/probe", fab_version="1.0.0", fab_hash=fab.hash_str
    )


def test_whoever_is_told_where_an_app_is_finds_all_of_it(
    fab: Fab, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))

    def parts(_: int) -> int:
        return len(list((install(fab, run) / "probe").glob("part_*.py")))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(parts, range(8))) == [200] * 8


def test_what_was_left_half_made_is_neither_used_nor_in_the_way(
    fab: Fab, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    (tmp_path / "apps" / ".new-left" / "apps").mkdir(parents=True)
    place = install(fab, run)
    assert install(fab, run) == place
    assert (place / "pyproject.toml").is_file()
