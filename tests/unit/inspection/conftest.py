"""One store for all that only look at it, as a SuperNode has it open and in every other form."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import fedstate
from fedstate.inspection import Store
from fedstate.store.backup import back_up
from fedstate.store.node_store import NodeStore
from tests.unit.inspection.stores import fill

KEY = b"\x01" * 32
FORMS = ("live", "stopped", "backup", "encrypted", "encrypted backup")


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    place = tmp_path_factory.mktemp("stores")
    for name, key in (("stopped", None), ("encrypted", KEY)):
        with closing(NodeStore(place / name, key=key)) as store:
            store.bind("SHA256:node")
            fill(store)
        back_up(place / name, place / ("backup" if key is None else "encrypted backup"))
    with closing(NodeStore(place / "live")) as store:
        store.bind("SHA256:node")
        fill(store)
        yield {form: place / form for form in FORMS}


@pytest.fixture(params=FORMS)
def place(request: pytest.FixtureRequest, places: dict[str, Path]) -> tuple[Path, bytes | None]:
    """Where a store is, and its key."""
    return places[request.param], KEY if "encrypted" in request.param else None


@pytest.fixture
def store(places: dict[str, Path]) -> Store:
    """The store of a SuperNode that runs."""
    return fedstate.open_store(places["live"])
