"""Which variables come too late in a process, and which do not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fedstate.executor import environment
from fedstate.executor.environment import too_late, watching
from fedstate.executor.import_report import Variable
from fedstate.forking import preload


@pytest.fixture(autouse=True)
def _nothing_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_replayed", environment._Replayed())
    monkeypatch.setattr(preload, "assumed", {"KERAS_BACKEND": "tensorflow"})
    for name in ("KERAS_BACKEND", "OMP_NUM_THREADS", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALREADY", "so")


CASES = [
    ("OMP_NUM_THREADS", "1", True),
    ("KERAS_BACKEND", "torch", True),
    ("KERAS_BACKEND", "tensorflow", False),
    ("ALREADY", "so", False),
    ("ALREADY", "otherwise", True),
    ("HF_HOME", "/somewhere", False),
    ("TF_CPP_MIN_LOG_LEVEL", "3", False),
]


@pytest.mark.parametrize(("name", "value", "late"), CASES)
def test_the_sources_tell_what_comes_too_late(
    tmp_path: Path, name: str, value: str, *, late: bool
) -> None:
    (tmp_path / "app.py").write_text(f"import os\nos.environ[{name!r}] = {value!r}\n")
    assert too_late(tmp_path) == (f"{name} (app.py, line 2)" if late else None)


def test_what_the_sources_do_not_tell_comes_too_late(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\nos.environ['OMP_NUM_THREADS'] = str(n)\n")
    assert too_late(tmp_path) is not None


def test_what_is_not_set_may_be_unset(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\nos.environ.pop('OMP_NUM_THREADS', None)\n")
    assert too_late(tmp_path) is None


def watch(change: Callable[[], object], *, bare: bool, others: bool = False) -> list[str]:
    """Return the conflicts that a change causes."""
    conflicts: list[str] = []
    with watching(lambda: others, lambda *_: None, bare=bare, conflict=conflicts.append):
        change()
    return conflicts


@pytest.mark.parametrize(("name", "value", "late"), CASES)
def test_what_is_set_tells_what_comes_too_late(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, *, late: bool
) -> None:
    monkeypatch.setenv(name, os.environ.get(name, ""))  # is put back
    if name != "ALREADY":
        os.environ.pop(name)
    change = lambda: os.environ.update({name: value})  # noqa: E731
    assert watch(change, bare=False) == ([name] if late else [])
    assert watch(change, bare=True) == []
    assert watch(change, bare=False, others=True) == []


def replayed(*variables: Variable, until: int) -> None:
    with environment.replaying(variables) as set_variables:
        for position in range(until):
            set_variables(position)


def test_in_a_replayed_process_the_values_of_the_first_message_are_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SET", "before")
    replayed(Variable(0, "SET", "1"), Variable(1, "SET", "2"), Variable(2, "LATE", "x"), until=2)
    assert os.environ["SET"] == "before"
    assert "LATE" not in os.environ

    def set_to(*values: str, **others: str) -> Callable[[], None]:
        def change() -> None:
            for value in values:
                monkeypatch.setenv("SET", value)
            for name, value in others.items():
                monkeypatch.setenv(name, value)

        return change

    assert watch(set_to("1", "2"), bare=True) == []
    assert watch(set_to("1", LATE="y"), bare=True) == [], "no module was imported after it"
    assert watch(set_to("3"), bare=True) == ["SET"]
    assert watch(set_to("1", NEW="x"), bare=True) == ["NEW"]
    assert watch(set_to("1", HF_HOME="x"), bare=False) == ["HF_HOME"]
    assert watch(set_to(), bare=True) == ["SET"], "it was set, and is not this time"


def test_a_variable_is_unset_while_modules_are_imported_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SET", "before")
    with environment.replaying([Variable(0, "SET", None)]) as set_variables:
        set_variables(0)
        assert "SET" not in os.environ
    assert os.environ["SET"] == "before"
