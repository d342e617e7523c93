"""Apps whose modules have the name of one that is imported already, which Python gives them."""

import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedstate.errors import FedstateError


class AppNameError(FedstateError):
    """A module of the app cannot be imported, since another one has its name."""


@contextmanager
def no_hidden_names(directory: Path, reference: str) -> Iterator[None]:
    """Load an app within this context; its names are told from those of other modules.

    Parameters
    ----------
    directory : Path
        The app's directory.
    reference : str
        The component that is loaded, as ``package.module:attribute``.

    Raises
    ------
    AppNameError
        If the component's package, or one that the app fails to import something from, has the
        name of a module that is not the app's.
    """
    _refuse(directory, reference.partition(":")[0])
    try:
        yield
    except ImportError as error:
        _refuse(directory, error.name or "", error)
        raise


def component_of(directory: Path, kind: str) -> str:
    """Return the reference of a component of the app; empty if the app names none."""
    try:
        project = tomllib.loads((directory / "pyproject.toml").read_text())
        return str(project["tool"]["flwr"]["app"]["components"][kind])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # flwr has an error for it


def _refuse(directory: Path, module: str, cause: Exception | None = None) -> None:
    name = module.partition(".")[0]
    if (other := other_of_name(directory, name)) is not None:
        raise AppNameError(
            f"The app has a package or module '{name}', and Python has already imported another "
            f"one of this name ({other}), which it takes for the app's: rename '{name}' in the "
            "app, in its imports and in its pyproject.toml."
        ) from cause


def other_of_name(directory: Path, name: str) -> str | None:
    """Return where a module comes from that the app has, too; None if there is no other."""
    has_it = (directory / name).is_dir() or (directory / f"{name}.py").is_file()
    module = sys.modules.get(name)
    if not name or not has_it or module is None:
        return None
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    found = [str(place) for place in places if place is not None]
    if any(Path(place).resolve().is_relative_to(directory.resolve()) for place in found):
        return None
    return found[0] if found else "a part of Python itself"
