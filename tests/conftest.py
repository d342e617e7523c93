"""How the suite is spread over workers: tests that share a federation stay together."""

import re

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# What takes longest starts first, so that no worker is left alone with it at the end.
ORDER = ("tests/stack/containers/", "tests/stack/", "tests/crash/", "tests/contract/", "tests/")

# A federation belongs to a directory of these, and elsewhere to a file.
SHARING = re.compile(r"tests/stack/\w+/|tests/[^:]+")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """Gives the tests that share a federation to one worker, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        found = SHARING.match(nodeid)
        return found[0] if found else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Return the scheduling for `--numprocesses`."""
    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest."""
    items.sort(key=lambda item: _first(ORDER, item.nodeid))


def _first(prefixes: tuple[str, ...], nodeid: str) -> int:
    return next(place for place, prefix in enumerate(prefixes) if nodeid.startswith(prefix))
