"""Asking the SuperNode that has a store open: to free runs, to give one a former state again.

Requests are files in the state directory.

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
from typing import Any

from fedstate.logs import logger
from fedstate.os_errors import sentence
from fedstate.store.errors import StoreError, StoreInUseError
from fedstate.store.keeping_store import Origin
from fedstate.store.kept_states import KeptState
from fedstate.store.node_store import NodeStore
from fedstate.store.retention import Choice, Freed, free
from fedstate.store.room import NO_ROOM, Room

PATIENCE_SECONDS = 60.0
_FREE, _ROLL_BACK = "free", "rollback"
# What each kind asks for.
_KINDS: dict[str, Callable[..., Any]] = {_FREE: Choice, _ROLL_BACK: Origin}
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
        said = _ask(directory, _FREE, asdict(choice), patience, "nothing was freed")
        return Freed(**said)
    try:
        return free(store, choice)
    finally:
        store.close()


def ask_to_roll_back(
    directory: Path, origin: Origin, patience: float = PATIENCE_SECONDS
) -> KeptState:
    """Ask the SuperNode that has a store open to make a kept state of a run its present one.

    Parameters
    ----------
    directory : Path
        The state directory.
    origin : Origin
        The run, and the number of the state.
    patience : float
        How many seconds to wait for the SuperNode.

    Returns
    -------
    KeptState
        What the run has now.

    Raises
    ------
    StoreError
        As for `KeepingStore.roll_back`, or the SuperNode does not answer.
    """
    otherwise = "'fedstate state kept' shows whether it was done"
    said = _ask(directory, _ROLL_BACK, asdict(origin), patience, otherwise)
    return KeptState(**{**said, "digest": bytes.fromhex(said["digest"])})


def _ask(
    directory: Path, kind: str, content: dict[str, Any], patience: float, otherwise: str
) -> dict[str, Any]:
    name = uuid.uuid4().hex
    request, answer = (directory / f"{name}.{kind}-{what}" for what in ("request", "answer"))
    lock = _write(request, content)
    end = time.monotonic() + patience
    try:
        while not answer.exists():
            if not request.exists() and not answer.exists():
                raise StoreError(
                    f"The program that uses '{directory}' cannot write its answer there, and "
                    f"{otherwise}. Its log says why; free space there, if the disk is full."
                )
            if time.monotonic() >= end:
                raise StoreError(
                    f"The program that uses '{directory}' has not answered within {patience:g} "
                    f"seconds, and {otherwise}. Look at the SuperNode's log, or stop it and give "
                    "this command again."
                )
            time.sleep(_LOOK_SECONDS)
        said: dict[str, Any] = json.loads(answer.read_text())
    finally:
        request.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)
        os.close(lock)
    if "error" in said:
        raise StoreError(said["error"])
    return said


def _no_roll_back(_: Origin) -> KeptState:
    raise StoreError("The program that uses this store rolls nothing back. Stop it before.")


def answer_requests(
    directory: Path,
    free_chosen: Callable[[Choice], Freed],
    roll_back: Callable[[Origin], KeptState] = _no_roll_back,
) -> None:
    """Do what is asked in a state directory.

    Parameters
    ----------
    directory : Path
        The state directory, whose store is this process's.
    free_chosen : callable
        Frees runs; a StoreError is the answer to who has asked.
    roll_back : callable
        Makes a kept state of a run its present one; a StoreError is the answer.
    """
    do: dict[str, Callable[[Any], Any]] = {_FREE: free_chosen, _ROLL_BACK: roll_back}
    for kind, action in do.items():
        for request in sorted(directory.glob(f"*.{kind}-request")):
            answer = request.with_suffix(f".{kind}-answer")
            asked = _still_asked(request, _KINDS[kind])
            # Who has read the answer removes the request first: without an answer, one that was
            # answered meanwhile is not there either, and must not be done a second time.
            if asked is None or answer.exists() or not request.exists():
                continue
            try:
                said = asdict(action(asked))
            except StoreError as error:
                said = {"error": str(error)}
            try:
                os.close(_write(answer, said))
            except OSError as error:
                # Whoever has asked sees by that that there will be no answer; it must not be
                # done a second time.
                logger.error("A request cannot be answered: %s", sentence(error))
                request.unlink(missing_ok=True)
        for answer in directory.glob(f"*.{kind}-answer"):
            if not answer.with_suffix(f".{kind}-request").exists():
                answer.unlink(missing_ok=True)


def _still_asked(request: Path, of_kind: Callable[..., Any]) -> Any:
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
        # Not by its name: who has asked may take it back at any time.
        with suppress(ValueError, TypeError), open(file, "rb", closefd=False) as content:
            return of_kind(**json.load(content))
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
                os.write(file, json.dumps(content, default=bytes.hex).encode())
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
