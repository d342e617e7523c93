"""The Flower App Bundle holds the app, and nothing else of this repository or this machine."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLWR = Path(sys.executable).parent / "flwr"


@pytest.fixture(scope="module")
def fab(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    directory = tmp_path_factory.mktemp("fab")
    shutil.copytree(ROOT / "app", directory / "app", ignore=shutil.ignore_patterns("*.fab"))
    # Material that an app's directory may well contain on somebody's machine.
    for name in ("node.key", "ca.crt", "superlink.db", ".env", "superexec.secret"):
        (directory / "app" / name).write_text("private")
    environment = {
        **os.environ,
        "FLWR_HOME": str(directory / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }
    subprocess.run(
        [FLWR, "build", "--app", "app"], cwd=directory, env=environment, check=True, timeout=60
    )
    (file,) = directory.rglob("*.fab")
    return zipfile.ZipFile(file)


def test_it_holds_the_app_and_nothing_private(fab: zipfile.ZipFile) -> None:
    names = {name for name in fab.namelist() if not name.startswith(".info/")}
    sources = {
        str(file.relative_to(ROOT / "app")) for file in (ROOT / "app").rglob("*.py")
    }  # fmt: skip
    assert names == sources | {"pyproject.toml", "LICENSE"}


def test_nothing_in_it_shadows_the_library(fab: zipfile.ZipFile) -> None:
    # The bundle's directory comes first on sys.path where the app runs.
    packages = {name.split("/")[0] for name in fab.namelist()}
    assert not packages & {"fedstate", "flwr", "numpy", "keras", "tensorflow"}


def test_no_path_of_the_building_machine_is_in_it(fab: zipfile.ZipFile) -> None:
    for name in fab.namelist():
        assert str(ROOT).encode() not in fab.read(name), name
