"""Packages that fedstate can do without: their tests are skipped where they are missing."""

import importlib
import os
from typing import Any

import pytest


def optional(name: str) -> Any:
    """Return a package; where it is missing the test is skipped, but not in CI."""
    if os.environ.get("CI"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"the package {name} is not installed here")
