"""Asking the SuperNode that has a store open to free runs: files in the state directory.

Who asks writes a request and waits for an answer of the same name. Its lock on the request says
that it still waits: what nobody waits for is not done. Both work on a disk that is full, for
which the reserve is given up.
"""

import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from fedstate.logs import logger
from fedstate.store.errors import StoreError, StoreInUseError
from fedstate.store.node_store import NodeStore
from fedstate.store.retention import Choice, Freed, free
from fedstate.store.room import NO_ROOM, Room

PATIENCE_SECONDS = 60.0
_REQUEST, _ANSWER = ".free-request", ".free-answer"
_LOOK_SECONDS = 0.05


def free_runs(
    directory: Path,
    choice: Choice,
    key: bytes | None = None,
    patience: float = PATIENCE_SECONDS,
) -> Freed:
    """Free runs of a store: itself, or by the SuperNode that has it open.

    Parameters
    ----------
    directory : Path
        The state directory.
    choice : Choice
        Which runs.
    key : bytes, optional
        The encryption key; a SuperNode that runs has it.
    patience : float
        How many seconds to wait for the SuperNode.

    Raises
    ------
    StoreError
        There is no such run, it is still going, or the SuperNode does not answer.
    """
    try:
        store = NodeStore(directory, key=key, create=False)
    except StoreInUseError:
        return _ask(directory, choice, patience)
    try:
        return free(store, choice)
    finally:
        store.close()


def _ask(directory: Path, choice: Choice, patience: float) -> Freed:
    name = uuid.uuid4().hex
    request, answer = directory / (name + _REQUEST), directory / (name + _ANSWER)
    lock = _write(request, asdict(choice))
    end = time.monotonic() + patience
    try:
        while not answer.exists():
            if time.monotonic() >= end:
                raise StoreError(
                    f"The program that uses '{directory}' has not answered within {patience:g} "
                    "seconds, and nothing was freed. Look at the SuperNode's log, or stop it and "
                    "free the runs then."
                )
            time.sleep(_LOOK_SECONDS)
        said = json.loads(answer.read_text())
    finally:
        request.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)
        os.close(lock)
    if "error" in said:
        raise StoreError(said["error"])
    return Freed(**said)


def answer_requests(directory: Path, free_chosen: Callable[[Choice], Freed]) -> None:
    """Do what is asked in a state directory.

    Parameters
    ----------
    directory : Path
        The state directory, whose store is this process's.
    free_chosen : callable
        Frees runs; a StoreError is the answer to who has asked.
    """
    for request in sorted(directory.glob("*" + _REQUEST)):
        answer = request.with_suffix(_ANSWER)
        choice = _still_asked(request)
        if choice is None or answer.exists():
            continue
        try:
            said = asdict(free_chosen(choice))
        except StoreError as error:
            said = {"error": str(error)}
        os.close(_write(answer, said))
    for answer in directory.glob("*" + _ANSWER):
        if not answer.with_suffix(_REQUEST).exists():
            answer.unlink(missing_ok=True)


def _still_asked(request: Path) -> Choice | None:
    """Return what somebody waits for; remove what nobody does."""
    try:
        file = os.open(request, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("The request '%s' cannot be read (%s).", request, error.strerror)
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(ValueError, TypeError):
            return Choice(**json.loads(request.read_bytes()))
    finally:
        os.close(file)
    request.unlink(missing_ok=True)
    return None


def _write(path: Path, content: object) -> int:
    """Write a file that is there whole or not at all; return its descriptor, which locks it."""
    partial = path.with_suffix(".partial")
    owner = path.parent.stat()
    for last in (False, True):
        try:
            file = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                os.write(file, json.dumps(content).encode())
                if os.geteuid() == 0:
                    # The SuperNode is to read what the machine's administrator asks.
                    os.fchown(file, owner.st_uid, owner.st_gid)
                partial.replace(path)
            except BaseException:
                os.close(file)
                raise
        except OSError as error:
            partial.unlink(missing_ok=True)
            if last or error.errno not in NO_ROOM:
                raise
            Room(path.parent).give_up()
        else:
            return file
    raise AssertionError("The second try returns or raises.")
