"""What packages re-export, and what it costs to import them."""

import subprocess
import sys
from importlib import import_module

import pytest

LAZY = ("fedstate.executor", "fedstate.forking", "fedstate.local")
EAGER = ("fedstate.certificates",)


@pytest.mark.parametrize("package", LAZY + EAGER)
def test_every_name_that_a_package_re_exports_is_there(package: str) -> None:
    module = import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name)


@pytest.mark.parametrize("package", LAZY)
def test_another_name_is_an_error_that_names_it(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nobody'"):
        _ = import_module(package).Nobody


def test_importing_the_packages_and_a_task_s_program_imports_nothing_of_flwrs() -> None:
    modules = [*LAZY, *EAGER, "fedstate.executor.worker", "fedstate.forking.server"]
    code = (
        f"import sys, {', '.join(modules)}\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('flwr', 'tensorflow')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
