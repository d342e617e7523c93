"""One federation in containers for all tests in here; each leaves it up and healthy."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from fedstate.local.process import free_port
from fedstate.local.runs import start, wait_for_runs
from tests.readme import commands
from tests.stack.conftest import ROOT
from tests.stack.containers.stack import NODES, Stack

# What a run may take: a test that takes more meets a limit within seconds.
LIMITS = {
    "FEDSTATE_EXECUTOR_MAX_PROCESSES": "200",
    "FEDSTATE_EXECUTOR_MAX_OPEN_FILES": "2000",
    "FEDSTATE_EXECUTOR_MAX_MEMORY": "800m",
    "FEDSTATE_EXECUTOR_MAX_FILES": "150m",
}
VERIFY = "docker compose run --rm fedstate verify"
GUEST = ROOT / "tests" / "apps" / "guest"
RUN_SECONDS = 600.0
COMPLETED = "finished:completed"
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


@dataclass(frozen=True)
class Runs:
    """Runs of two apps, and what the README's commands have said of those that they started."""

    keras: list[int]
    guests: list[int]
    said: str
    verified: str


def guest(stack: Stack) -> int:
    """Start a run of somebody else's app."""
    return start(stack, GUEST, {"num-rounds": 3, "num-nodes": len(NODES)})


@pytest.fixture(scope="package")
def runs(stack: Stack) -> Runs:
    """Four runs at the same time: the README's two, and two of another app."""
    up, *lines = commands("In containers")
    verify, export = (next(x for x in lines if x.startswith(w)) for w in (VERIFY, "export"))
    started = [line for line in lines if " run app " in line]
    assert sorted(lines) == sorted([*started, verify, export])
    assert len(started) == 2
    stack.shell(up)
    guests = [guest(stack) for _ in started]
    with ThreadPoolExecutor() as pool:
        scripts = (f"set -ex\n{export}\n{line}" for line in started)
        said = [*pool.map(stack.shell, scripts)]
    keras = [int(number) for each in said for number in re.findall(r"started run (\d+)", each)]
    statuses = wait_for_runs(stack, [*keras, *guests], RUN_SECONDS)
    # The guide's app fails its run itself if a list is not its own, or did not grow by one.
    assert set(statuses.values()) == {COMPLETED}, stack.logs()
    return Runs(keras, guests, "".join(said), stack.shell(verify))


def _settings() -> dict[str, str]:
    """Return how this machine builds images, which the repository's own .env may say."""
    file = ROOT / ".env"
    lines = file.read_text().splitlines() if file.exists() else []
    pairs = dict(line.split("=", 1) for line in lines if line.startswith("FEDSTATE_"))
    build = ("FEDSTATE_BUILD_NETWORK", "FEDSTATE_CA_BUNDLE", "FEDSTATE_PYTHON_IMAGE")
    return {name: pairs[name] for name in build if name in pairs and name not in os.environ}
