"""The output of all runs of an executor: which runs have a file, and which of these an end."""

from pathlib import Path

from fedstate.executor.printed import Printed
from fedstate.flower.task_order import TaskOrder
from fedstate.logs import labelled, logger
from fedstate.logs.run_files import (
    MOST_BYTES_IN_ALL,
    RunFile,
    bound_outputs,
    has_end,
    outputs_in,
    prepare_directory,
)

_OPTION = "--output"


class RunOutputs:
    """What the runs of an executor print, a file for each run.

    Parameters
    ----------
    directory : Path, optional
        Where the files are; without it there are none.
    most_bytes : int
        How large all of them may get.

    Attributes
    ----------
    without_end : frozenset of int
        The runs whose files do not say that they have ended: an executor was killed before.

    Raises
    ------
    SettingError
        The directory cannot be written.
    """

    def __init__(self, directory: Path | None, most_bytes: int = MOST_BYTES_IN_ALL) -> None:
        self._directory = None
        self._most_bytes = most_bytes
        self.without_end: frozenset[int] = frozenset()
        self._open: set[int] = set()
        if directory is None:
            return
        self._directory = prepare_directory(directory, _OPTION)
        there = outputs_in(self._directory)
        self.without_end = frozenset(
            run_id for run_id in there if not has_end(self._directory, run_id)
        )

    @property
    def closed_directories(self) -> tuple[Path, ...]:
        """What no run may read."""
        return () if self._directory is None else (self._directory,)

    def printed(self, order: TaskOrder) -> Printed:
        """Return what becomes of the lines of the run that a task is of."""
        component = str(order.kind).removeprefix("flwr-")
        file = None
        if self._directory is not None:
            self._open.add(order.run_id)
            self.without_end -= {*bound_outputs(self._directory, self._open, self._most_bytes)}
            file = RunFile(self._directory, order.run_id)
            self.without_end |= {order.run_id}
            if file.problem is not None:
                with labelled(run=order.run_id):
                    logger.warning("What the run prints is not kept: %s.", file.problem)
        return Printed(order.run_id, component, file, logged=not order.suppress_output)

    def closed(self, run_id: int, *, ended: bool) -> None:
        """Note that a room was closed, since its run has ended or for another reason."""
        self._open.discard(run_id)
        if ended:
            self.without_end -= {run_id}

    def end(self, run_id: int) -> None:
        """Note in its file that a run has ended, unless it says so."""
        if self._directory is not None and run_id in self.without_end:
            RunFile(self._directory, run_id).end()
        self.closed(run_id, ended=True)
