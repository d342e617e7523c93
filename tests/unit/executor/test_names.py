"""What an app is told whose modules have the name of others that are imported."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedstate.executor.names import AppNameError, component_of, no_hidden_names
from fedstate.forking import channel


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An app's directory, which modules are imported from first, as flwr does it."""
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(sys.modules)
    yield tmp_path
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def package(app: Path, name: str) -> None:
    (app / name).mkdir()
    (app / name / "__init__.py").touch()
    (app / name / "client_app.py").write_text("app = 1\n")


@pytest.mark.parametrize("name", ["fedstate", "flwr", "numpy", "json", "_pytest"])
def test_a_package_whose_name_is_taken_is_told_what_to_rename(app: Path, name: str) -> None:
    package(app, name)
    sys.modules[name] = __import__(name)
    with pytest.raises(AppNameError) as caught, no_hidden_names(app, f"{name}.client_app:app"):
        pytest.fail("the app is not loaded")
    said = str(caught.value)
    assert said.startswith(f"The app has a package or module '{name}', and Python has already")
    assert str(sys.modules[name].__file__) in said
    assert f"rename '{name}' in the app" in said
    assert said.count(". ") == 0
    assert "\n" not in said


def test_a_module_of_python_itself_is_told_apart_too(app: Path) -> None:
    (app / "sys.py").touch()
    with (
        pytest.raises(AppNameError, match="a part of Python itself"),
        no_hidden_names(app, "sys"),
    ):
        pytest.fail("the app is not loaded")


def test_a_package_that_is_imported_by_itself_is_the_apps(app: Path) -> None:
    package(app, "some_app_of_its_own")
    for _ in range(2):
        with no_hidden_names(app, "some_app_of_its_own.client_app:app"):
            import some_app_of_its_own.client_app  # type: ignore[import-not-found]  # noqa: F401


def test_a_component_in_another_place_is_none_of_ours(app: Path) -> None:
    with no_hidden_names(app, "json.decoder:JSONDecoder"):
        pass


@pytest.mark.parametrize(
    "statement",
    ["import fedstate.tools", "from fedstate import tools", "from fedstate.tools import some"],
)
def test_a_package_beside_the_component_is_told_when_an_import_fails(
    app: Path, statement: str
) -> None:
    package(app, "own_part")
    package(app, "fedstate")
    with (
        pytest.raises(AppNameError, match="a package or module 'fedstate'") as caught,
        no_hidden_names(app, "own_part.client_app:app"),
    ):
        exec(statement)  # noqa: S102
    assert isinstance(caught.value.__cause__, ImportError)


def test_a_package_beside_the_component_that_nobody_misses_is_no_error(app: Path) -> None:
    package(app, "own_part")
    package(app, "fedstate")
    with no_hidden_names(app, "own_part.client_app:app"):
        from fedstate.forking import channel as same
    assert same is channel


def test_another_failed_import_is_left_as_it_is(app: Path) -> None:
    package(app, "own_part")
    with pytest.raises(ModuleNotFoundError), no_hidden_names(app, "own_part.client_app:app"):
        import own_part.nothing  # type: ignore[import-not-found]  # noqa: F401


@pytest.mark.parametrize(
    ("project", "found"),
    [
        ('[tool.flwr.app.components]\nclientapp = "own.client_app:app"\n', "own.client_app:app"),
        ('[tool.flwr.app.components]\nserverapp = "own.server_app:app"\n', ""),
        ("[tool.flwr]\napp = 1\n", ""),
        ("no toml", ""),
        (None, ""),
    ],
)
def test_the_component_that_a_project_names(
    tmp_path: Path, project: str | None, found: str
) -> None:
    if project is not None:
        (tmp_path / "pyproject.toml").write_text(project)
    assert component_of(tmp_path, "clientapp") == found
