"""Only `src/fedstate/flower/` may import flwr's non-public modules; no app or bench may."""

import pytest
from tests.contract.flower.private_names import DOOR, ROOT, SOURCES, imported, sources

PRIVATE = {
    *("supernode", "superlink", "supercore", "server", "common", "proto", "simulation"),
    *("client", "cli", "ee"),
}

# Flower's own node state is what ours is measured against.
MEASURE_FLOWERS_OWN = [ROOT / "bench" / name for name in ("store.py", "objects.py")]


@pytest.mark.parametrize(
    "source",
    [
        file.relative_to(ROOT).as_posix()
        for directory in (SOURCES, ROOT / "app", ROOT / "bench")
        for file in sources(directory)
        if DOOR not in file.parents and file not in MEASURE_FLOWERS_OWN
    ],
)
def test_a_module_outside_the_door_names_nothing_private(source: str) -> None:
    private = {
        (module, name)
        for module, name in imported(ROOT / source)
        if module.split(".")[1] in PRIVATE
    }
    assert not private, "import it in src/fedstate/flower/, and hand out a type of ours"
