"""What goes over into a bare interpreter. That a task goes on there, test_loading.py shows."""

import os
import subprocess
import sys

import pytest
from tests.unit.executor.conftest import order

from fedstate import system
from fedstate.executor import bare


@pytest.mark.parametrize("given", [b"", b"given", os.urandom(3_000_000)], ids=len)
def test_what_is_handed_over_arrives(given: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare, "_bare", [])
    assert not bare.is_bare()
    memory = bare._write(order("token"), given)
    assert os.get_inheritable(memory)
    task, arrived = bare.take_over(memory)
    assert task == order("token")
    assert arrived == given
    assert bare.is_bare()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(memory)


@pytest.mark.parametrize("dumpable", [0, 1])
def test_a_process_that_others_could_not_read_is_none_that_they_can(dumpable: int) -> None:
    """An execution makes a process readable, and the new one has the token again."""
    script = f"""
import os, sys
from fedstate.executor import bare
from fedstate import system
if len(sys.argv) == 1:
    from tests.unit.executor.conftest import order
    system.prctl(system.PR_SET_DUMPABLE, {dumpable})
    memory = bare._write(order("token"), b"")
    os.execv(sys.executable, [sys.executable, "-c", sys.orig_argv[2], str(memory)])
bare.take_over(int(sys.argv[1]))
print(system.prctl(system.PR_GET_DUMPABLE))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{dumpable}\n"
    assert system.prctl(system.PR_GET_DUMPABLE) == 1
