"""A federation that another process runs: what it is made of, how it is, and how to stop it."""

import contextlib
import os
import signal
from pathlib import Path

from fedstate.errors import FederationError, SettingError
from fedstate.local import orders
from fedstate.local.member import Recorded, State
from fedstate.local.presence import Presence, Record, directory_option
from fedstate.process_table import living
from fedstate.waiting import wait_until

ANSWER_SECONDS = 240.0
STOP_SECONDS = 120.0


def read_running(directory: Path) -> tuple[Record, bool]:
    """Return what runs in a directory, and whether somebody keeps it.

    Raises
    ------
    FederationError
        If nothing runs, or it is being started.
    """
    presence = Presence(directory)
    kept, record = presence.is_held, presence.read()
    if record is None and kept:
        raise FederationError(f"The federation in {directory} is being started; wait for it.")
    if record is None or not (kept or record.left):
        raise FederationError(
            f"No federation runs in {directory}; "
            f"`fedstate local up{directory_option(directory)}` starts one, and --directory names "
            "another."
        )
    return record, kept


def abandoned(directory: Path, record: Record) -> str:
    """Return in a sentence that nobody keeps what runs, and what to do."""
    return (
        f"The `fedstate local up` of {directory} (process {record.pid}) was killed; "
        f"{len(record.left)} of its processes still run, and nobody starts them again: "
        f"`fedstate local stop{directory_option(directory)}` ends them, and so does the next "
        f"`fedstate local up{directory_option(directory)}`."
    )


def restart(directory: Path, target: str) -> list[Recorded]:
    """Have processes started again, and wait until they work.

    Parameters
    ----------
    directory : Path
        The federation's own.
    target : str
        A SuperNode's number, for it and its executor, or a process's name.

    Returns
    -------
    list of Recorded
        The processes as they are now.

    Raises
    ------
    FederationError
        If nothing runs there, or they do not work within some minutes.
    SettingError
        If there is nothing of that name.
    """
    record, kept = read_running(directory)
    if not kept:
        raise FederationError(abandoned(directory, record))
    names = _meant(record, target)
    before = {each.name: each.restarts for each in record.processes}
    order = orders.give(directory, names)

    def now() -> list[Recorded]:
        record, kept = read_running(directory)
        if not kept:
            raise FederationError(abandoned(directory, record))
        return [each for each in record.processes if each.name in names]

    def done() -> bool:
        # Of an order that is taken and not carried out yet, the record is still the old one.
        return not order.exists() and all(
            each.restarts > before[each.name] and each.state in (State.RUNNING, State.ABANDONED)
            for each in now()
        )

    finished = wait_until(done, ANSWER_SECONDS)
    if order.exists():
        order.unlink(missing_ok=True)
        raise FederationError(
            f"Process {record.pid}, which keeps the federation in {directory}, has not begun to "
            f"start {' and '.join(names)} again: is it stopped?"
        )
    for each in now():
        if not finished or each.state is not State.RUNNING:
            raise FederationError(
                f"{each.title} was to be started again, and does not work: "
                f"{each.problem() or 'It is starting.'} Its log is {each.log}."
            )
    return now()


def stop(directory: Path) -> int | None:
    """Stop what runs in a directory, whoever keeps it.

    Returns
    -------
    int or None
        How many processes were left by one that was killed; None if somebody kept them.

    Raises
    ------
    FederationError
        If it does not end.
    """
    presence = Presence(directory)
    if not presence.is_held:
        if presence.read() is None:
            return 0
        presence.take()
        try:
            return presence.end_leftovers()
        finally:
            presence.release()
    # One that has only begun has written nothing down yet.
    wait_until(lambda: presence.read() or not presence.is_held, STOP_SECONDS)
    if (record := presence.read()) is None:
        return 0
    keeper = living(record.pid)
    if keeper is not None and keeper.started == record.started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)
    if not wait_until(lambda: not presence.is_held, STOP_SECONDS):
        raise FederationError(
            f"Process {record.pid}, which keeps the federation in {directory}, does not end: "
            f"`kill -9 {record.pid}`, and then "
            f"`fedstate local stop{directory_option(directory)}` again."
        )
    return None


def names_of(target: str) -> list[str]:
    """Return the names of the processes that are meant: a SuperNode's number means two."""
    if target.isdecimal():
        number = int(target)
        return [f"supernode-{number}", f"executor-{number}"]
    return [target]


def _meant(record: Record, target: str) -> list[str]:
    there = [each.name for each in record.processes]
    names = names_of(target)
    if not set(names) <= set(there):
        raise SettingError(
            f"There is no '{target}' in this federation; give the number of a SuperNode, or one "
            f"of: {', '.join(there)}."
        )
    return names
