"""What a task's process has of a program of its own; it is put to use in tests/stack/executor."""

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from fedstate.executor.program import script_of
from fedstate.flower.task_order import TaskKind

SCRIPT = """
import json, multiprocessing, os, sys
from fedstate.executor.program import become_program
from fedstate.flower.task_order import TaskKind

before = multiprocessing.current_process().authkey, sys.modules["__main__"]
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
{first}
become_program(TaskKind({kind!r}))
main = sys.modules["__main__"]
print(json.dumps({{
    "argv": sys.argv,
    "orig_argv": sys.orig_argv,
    "main": [main is before[1], main.__name__, main.__spec__, main.__dict__.get("__file__")],
    "names": sorted(vars(main)),
    "stdin": sys.stdin.read() + sys.__stdin__.read(),
    "key": multiprocessing.current_process().authkey == before[0],
    "directory": multiprocessing.process.ORIGINAL_DIR == os.getcwd(),
    "evaluated": eval("len([1])", vars(main)),
}}))
"""


def told(kind: TaskKind, first: str = "") -> Any:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(kind=str(kind), first=first), "--an", "option"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", [TaskKind.CLIENT_APP, TaskKind.SERVER_APP])
@pytest.mark.parametrize("first", ["", "os.chdir('/')", "sys.stdin = sys.__stdin__ = None"])
def test_a_process_becomes_flwrs_program(kind: TaskKind, first: str) -> None:
    script = str(script_of(kind))
    found = told(kind, first)
    assert found["argv"] == [script]
    assert found["orig_argv"] == [sys.executable, script]
    assert found["main"] == [False, "__main__", None, script]
    assert set(found["names"]) == {
        *("__builtins__", "__doc__", "__file__", "__loader__", "__name__", "__package__"),
        "__spec__",
    }
    assert found["stdin"] == ""
    assert not found["key"]
    assert found["directory"]
    assert found["evaluated"] == 1


@pytest.mark.parametrize("kind", TaskKind)
def test_the_script_is_that_of_flwrs_program(kind: TaskKind) -> None:
    script = script_of(kind)
    (entry,) = entry_points(group="console_scripts", name=script.name)
    assert entry.dist is not None
    installed = [Path(str(each.locate())).resolve() for each in entry.dist.files or ()]
    assert script.resolve() in installed
