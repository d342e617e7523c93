"""What a package says that it exports can be imported from it."""

from importlib import import_module
from pkgutil import walk_packages

import pytest

import fedstate

PACKAGES = [each.name for each in walk_packages(fedstate.__path__, "fedstate.") if each.ispkg]
# The door exports nothing at its top; the rest are insides of packages that do.
WITHOUT = {
    "fedstate.cli",
    "fedstate.flower",
    "fedstate.flower.proto",
    "fedstate.state.codecs",
    "fedstate.state.codecs.keras",
    "fedstate.state.kinds",
}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_exports_what_it_says(name: str) -> None:
    exported = getattr(import_module(name), "__all__", None)
    assert (exported is None) == (name in WITHOUT)
    for each in exported or ():
        assert getattr(import_module(name), each) is not None


@pytest.mark.parametrize("name", PACKAGES)
def test_a_name_that_is_not_there_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = import_module(name).no_such_name
