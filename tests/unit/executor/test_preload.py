import sys

import pytest

from fedstate.errors import SettingError
from fedstate.executor import preload


def test_none_means_no_fork_server() -> None:
    assert preload.modules_of("none") is None


def test_auto_takes_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    always = preload.modules_of("") or ()
    assert "fedstate.executor.clientapp" in always
    assert preload.modules_of("auto") == (*always, "tensorflow", "keras")
    monkeypatch.setattr(preload, "find_spec", lambda _: None)
    assert preload.modules_of("auto") == always


def test_names_are_split_at_commas() -> None:
    modules = preload.modules_of("numpy, json ,")
    assert modules is not None
    assert modules[-2:] == ("numpy", "json")


def test_elsewhere_than_on_linux_there_is_no_fork_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert preload.modules_of("auto") is None


def test_a_module_that_is_not_installed_is_named() -> None:
    with pytest.raises(SettingError, match=r"'no_such_module.part', which is not installed"):
        preload.modules_of("numpy,no_such_module.part")
