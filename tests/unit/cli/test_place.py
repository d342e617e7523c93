"""How commands name the store that they are about."""

from pathlib import Path

import pytest

from fedstate.cli.place import place_of
from fedstate.errors import SettingError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_directory_is_what_it_says() -> None:
    assert place_of(Path("some/where"), None) == Path("some/where")


def test_a_node_of_the_local_federation_has_a_number(here: Path) -> None:
    for number in (1, 2, 10):
        directory = here / f".fedstate/node-{number}/flwr/fedstate/nodes/key-{number}"
        directory.mkdir(parents=True)
        (directory / "node.db").touch()
    (here / ".fedstate/node-3").mkdir()
    assert place_of(None, 10) == Path(".fedstate/node-10/flwr/fedstate/nodes/key-10")
    with pytest.raises(SettingError, match=r"There is no node 3 .* there is 1, 2, 10\."):
        place_of(None, 3)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("state", "node", "message"),
    [
        (Path("state"), 1, "both name a store"),
        (None, None, "Which node"),
        (None, 1, "there is none here"),
    ],
)
def test_a_mistake_is_one_sentence(state: Path | None, node: int | None, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        place_of(state, node)
