"""One federation in containers for all tests in here; each leaves it up and healthy."""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from fedstate.local.process import free_port
from tests.stack.conftest import ROOT
from tests.stack.containers.stack import Stack

# What a run may take: a test that takes more meets a limit within seconds.
LIMITS = {
    "FEDSTATE_EXECUTOR_MAX_PROCESSES": "200",
    "FEDSTATE_EXECUTOR_MAX_OPEN_FILES": "2000",
    "FEDSTATE_EXECUTOR_MAX_MEMORY": "800m",
    "FEDSTATE_EXECUTOR_MAX_FILES": "150m",
}
WAY_OUT = "no Docker engine with Compose answers; on Debian, as root: sh .ci/engine.sh"


@pytest.fixture(scope="package")
def engine() -> None:
    """Skip where there is no engine; fail in CI, which is to have one."""
    for question in (["docker", "info"], ["docker", "compose", "version"]):
        if not shutil.which("docker") or subprocess.run(question, capture_output=True).returncode:
            pytest.fail(WAY_OUT) if os.environ.get("CI") == "true" else pytest.skip(WAY_OUT)


@pytest.fixture(scope="package")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = _settings() | LIMITS
    stack = Stack(
        tmp_path_factory.mktemp("clone"), f"fedstate-test-{os.getpid()}", free_port(), settings
    )
    stack.copy_sources()
    try:
        stack.compose("build", seconds=900)
        stack.up()
        yield stack
    finally:
        stack.remove()


def _settings() -> dict[str, str]:
    """Return how this machine builds images, which the repository's own .env may say."""
    file = ROOT / ".env"
    lines = file.read_text().splitlines() if file.exists() else []
    pairs = dict(line.split("=", 1) for line in lines if line.startswith("FEDSTATE_"))
    build = ("FEDSTATE_BUILD_NETWORK", "FEDSTATE_CA_BUNDLE", "FEDSTATE_PYTHON_IMAGE")
    return {name: pairs[name] for name in build if name in pairs and name not in os.environ}
