"""Names that a package re-exports without importing the modules that define them.

flwr takes a second to import. A package whose modules import it, or that has modules to be run
as programs, re-exports its names when they are asked for, not when it is imported.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package.

    Parameters
    ----------
    package
        The package's own name.
    names
        For each re-exported name the module that defines it, relative to the package or in full.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        try:
            module = names[name]
        except KeyError:
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from None
        return getattr(import_module(module, package), name)

    return __getattr__
