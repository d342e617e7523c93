"""A process behind walls, and what it says of them."""

import json
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedstate import system
from fedstate.forking.server import fork
from fedstate.walls import Walls, enter

Behind = Callable[[Walls, Callable[[], Any]], Any]
NOBODY = 65534


@pytest.fixture
def rooms() -> Iterator[Path]:
    """A directory that every user can pass through, as pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="walls-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def root() -> None:
    if os.geteuid():
        pytest.skip("only root can become another user; run the tests as root")


def in_child(function: Callable[[], Any]) -> Any:
    """Call a function in a fork of this process, and return what it returns."""
    reading, writing = os.pipe()
    if (pid := fork()) == 0:
        try:
            answer = json.dumps({"returned": function()})
        except BaseException as error:
            traceback.print_exc()
            answer = json.dumps({"raised": f"{type(error).__name__}: {error}"})
        with os.fdopen(writing, "w") as end:
            end.write(answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as end:
        text = end.read()
    os.waitpid(pid, 0)
    answer = json.loads(text)
    assert "raised" not in answer, answer["raised"]
    return answer["returned"]


def behind(walls: Walls, function: Callable[[], Any]) -> Any:
    """Call a function in a fork of this process that is behind walls."""

    def inside() -> Any:
        enter(walls)
        return function()

    return in_child(inside)


def become(user: int) -> None:
    """Make this process another user's."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    # As a program is that such a user has started.
    system.prctl(system.PR_SET_DUMPABLE, 1)


def as_nobody(function: Callable[[], Any]) -> Any:
    """Call a function in a fork of this process that is not root."""

    def inside() -> Any:
        if os.geteuid() == 0:
            become(NOBODY)
        return function()

    return in_child(inside)


def outcome(function: Callable[[], Any]) -> str:
    """Return the name of the error number with which something was denied; "done" if not."""
    import errno

    try:
        function()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"
