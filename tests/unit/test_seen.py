"""What the hostile tests see of processes, those that end while they are looked at included."""

import os
import subprocess
import sys

import pytest

from tests.hostile import seen


def test_of_a_process_there_is_its_number_its_user_and_its_memory() -> None:
    assert seen.inner(os.getpid()) == os.getpid()
    assert seen.user_of(os.getpid()) == os.getuid()
    assert seen.resident(os.getpid()) > 2**20
    assert seen.descriptors(os.getpid()) >= 3
    assert seen.parent_of(os.getpid()) == os.getppid()


def test_a_process_that_has_ended_is_nothing_and_no_error() -> None:
    """Any but the victim's may end between the moment it is found and that it is looked at."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    gone = process.pid
    assert seen.inner(gone) == seen.resident(gone) == seen.descriptors(gone) == 0
    assert seen.parent_of(gone) == 0
    assert seen.name_of(gone) == ""
    assert seen.treasure_of(gone) == {}
    assert seen.descendants(gone) == seen.ancestors(gone) == []
    seen.release(gone)
    with pytest.raises(ProcessLookupError):
        seen.user_of(gone)
