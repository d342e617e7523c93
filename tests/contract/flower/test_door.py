"""Only `src/fedstate/flower/` may import flwr's non-public modules."""

import pytest
from tests.contract.flower.private_names import DOOR, ROOT, imported, sources

PRIVATE = {
    *("supernode", "superlink", "supercore", "server", "common", "proto", "simulation"),
    *("client", "cli", "ee"),
}


@pytest.mark.parametrize(
    "source",
    [file.relative_to(ROOT).as_posix() for file in sources() if DOOR not in file.parents],
)
def test_a_module_outside_the_door_names_nothing_private(source: str) -> None:
    private = {
        (module, name)
        for module, name in imported(ROOT / source)
        if module.split(".")[1] in PRIVATE
    }
    assert not private, "import it in src/fedstate/flower/, and hand out a type of ours"
