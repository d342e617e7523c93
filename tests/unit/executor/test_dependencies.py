"""An app's own pinned dependencies, installed by the real `uv` from wheels made here."""

import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.stack.executor.conftest import PROBE, Node
from tests.unit.executor.tasks import Room, Rooms, app

from fedstate.executor import dependencies

# Takes long enough for its import to be worth a report.
TABULAR = "import os, time\ntime.sleep(0.25)\nversion, pid = '{version}', os.getpid()\n"
ASKED = {
    "module": "tabular.version",
    "metadata": "importlib.metadata.version('tabular')",
    "numpy": "numpy.__version__",
    "pid": "tabular.pid",
    "paths": "sum('runtime-envs' in each for each in sys.path)",
}


def files_of(name: str, version: str, source: str) -> dict[str, str]:
    information = f"{name}-{version}.dist-info"
    return {
        f"{name}/__init__.py": source,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/RECORD": "",
    }


def make_wheel(directory: Path, name: str, version: str, source: str) -> None:
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in files_of(name, version, source).items():
            wheel.writestr(file, text)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        make_wheel(directory, "tabular", version, TABULAR.format(version=version))
    make_wheel(directory, "numpy", "99.0", "__version__ = '99.0'\n")
    # It is not installed, but what an app depends on is resolved as a whole.
    make_wheel(directory, "flwr", "1.42.0", "")
    return directory


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    libraries = tmp_path_factory.mktemp("libraries")
    for file, text in files_of("tabular", "1.0", TABULAR.format(version="1.0")).items():
        (libraries / file).parent.mkdir(exist_ok=True)
        (libraries / file).write_text(text)
    node = Node()
    yield Rooms(node, tmp_path_factory.mktemp("home"), libraries)
    node.stop()


@pytest.fixture(scope="module")
def settings(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Let `uv` find the wheels, and nothing else."""
    return {
        "UV_FIND_LINKS": str(wheels),
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
    }


@pytest.fixture(scope="module")
def preloaded(rooms: Rooms, settings: dict[str, str]) -> Iterator[Room]:
    """A room in which another version of the dependency is preloaded."""
    with rooms.room("tabular", installs=True, settings=settings) as room:
        yield room


def pinned(*names: str) -> bytes:
    """Return an app that depends on these."""
    quoted = ", ".join(f'"{name}"' for name in ("flwr>=1.42.0,<1.43", *names))
    project = (PROBE / "pyproject.toml").read_text()
    project = project.replace('"flwr>=1.42.0,<1.43"', quoted)
    assert names == () or names[0] in project
    before = "import importlib.metadata, numpy, sys, tabular"
    return app(before, project=project)


def test_a_pinned_dependency_is_the_one_that_the_app_gets(
    rooms: Rooms, preloaded: Room, settings: dict[str, str], wheels: Path
) -> None:
    run = rooms.run(pinned("tabular==2.0", "numpy==99.0"))
    first = preloaded.ask(run, **ASKED)
    assert (
        first.bare == "The app has dependencies of its own: nothing is preloaded for its tasks."
    )
    assert (first.answer["module"], first.answer["metadata"]) == ("2.0", "2.0")
    # flwr has imported it before, as on stock.
    assert first.answer["numpy"] == np.__version__
    assert first.report.installed is not None
    environment = Path(first.report.installed)
    assert environment.name == str(run)
    stamp = next(environment.glob(".complete"))
    installed_at = stamp.stat().st_mtime_ns
    with rooms.room(report=first.report, bare=True, installs=True, settings=settings) as warm:
        second = warm.ask(run, **ASKED)
    assert second.answer["module"] == second.answer["metadata"] == "2.0"
    assert second.answer["pid"] != second.pid
    assert second.answer["paths"] == 1
    assert stamp.stat().st_mtime_ns == installed_at


def test_what_a_killed_task_has_left_half_installed_is_installed_anew(
    rooms: Rooms, preloaded: Room
) -> None:
    run = rooms.run(pinned("tabular==2.0"))
    done = preloaded.ask(run, **ASKED)
    environment = Path(done.report.installed or "")
    (environment / ".complete").unlink()
    for file in environment.rglob("tabular/__init__.py"):
        file.unlink()  # it is a link into the cache of `uv`
        file.write_text("version = 'half'\n")
    assert preloaded.ask(run, **ASKED).answer["module"] == "2.0"


def test_an_app_without_any_stays_with_what_is_preloaded(rooms: Rooms, preloaded: Room) -> None:
    run = rooms.run(pinned())
    done = preloaded.ask(run, **ASKED)
    assert done.bare is None
    assert (done.answer["module"], done.answer["paths"]) == ("1.0", 0)
    assert done.answer["pid"] != done.pid


def test_a_dependency_that_is_nowhere_is_an_error_reply(rooms: Rooms, preloaded: Room) -> None:
    run = rooms.run(pinned("tabular==3.0"))
    reason = preloaded.ask(run, **ASKED).error[1]
    assert "RuntimeDependencyInstallationError" in reason
    assert "tabular" in reason


def test_an_environment_is_activated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (place / "site-packages").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    for _ in range(2):
        dependencies.activate(tmp_path)
    assert sys.path.count(str(place / "site-packages")) == 1
    assert os.environ["PATH"] == f"{tmp_path / 'bin'}:/bin"
