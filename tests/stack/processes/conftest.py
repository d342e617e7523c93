"""One federation of processes for all tests in here; each leaves it as it found it."""

from collections.abc import Iterator

import pytest

from fedstate.local.federation import Federation


@pytest.fixture(scope="package")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("federation"), nodes=3) as running:
        yield running
