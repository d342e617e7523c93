"""A task's process that outlives its executor for a moment only."""

from typing import NoReturn

from fedstate.executor import worker


def run(descriptor: int) -> NoReturn:
    worker._ORPHAN_SECONDS = 0.2
    worker.run(descriptor)
