"""How the suite is spread over workers: tests that share a federation stay together."""

import pytest

# Fixtures that take long to make, and that all their tests share.
SHARED = ("stack", "federation")

# What takes longest starts first, so that no worker is left alone with it at the end.
ORDER = ("tests/stack/containers/", "tests/stack/", "tests/crash/", "tests/contract/", "tests/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name each test's group, which `--dist loadgroup` gives to one worker as a whole."""
    items.sort(key=lambda item: _first(ORDER, item.nodeid))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    needs: tuple[str, ...] = getattr(item, "fixturenames", ())
    shared = next((name for name in SHARED if name in needs), None)
    return shared or item.nodeid.partition("::")[0]


def _first(prefixes: tuple[str, ...], nodeid: str) -> int:
    return next(place for place, prefix in enumerate(prefixes) if nodeid.startswith(prefix))
