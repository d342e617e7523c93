"""One federation for all attempts on its doors."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from fedstate.local.federation import Federation
from tests.programs import PROGRAMS
from tests.stack.doors import (  # noqa: F401  each registers its attempts
    bodies,
    connections,
    credentials,
    http,
    others,
    tls,
)
from tests.stack.doors.ground import Ground
from tests.stack.doors.registry import ATTEMPTS, Outcome, make

Early = dict[str, list[Future[Outcome]]]


@pytest.fixture(scope="package")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    directory = tmp_path_factory.mktemp("doors")
    with Federation(directory / "federation", nodes=2, programs=PROGRAMS) as federation:
        ground = Ground(federation, directory / "attackers")
        yield ground
        ground.end_intruder()


@pytest.fixture(scope="package")
def early(ground: Ground) -> Iterator[Early]:
    """Begin the attempts that take their time, all at once; they go on beside the others."""
    slowly = [each for each in ATTEMPTS.values() if each.early]
    with ThreadPoolExecutor(sum(len(each.doors) for each in slowly)) as pool:
        yield {
            each.name: [pool.submit(make, each, ground, door) for door in each.doors]
            for each in slowly
        }
