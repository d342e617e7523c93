"""The executor's process: what it is made of, and how it ends."""

import signal
from collections.abc import Sequence
from types import FrameType

from fedstate.executor.loop import TaskLoop
from fedstate.executor.notifications import TaskNotifications
from fedstate.executor.pool import Limits, TaskPool, fork_servers
from fedstate.flower import monitors
from fedstate.flower.tasks import RuntimeApi, TaskSource
from fedstate.logs import logger

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """A signal has told the executor to end."""


def run_executor(
    api: RuntimeApi,
    modules: Sequence[str] | None,
    limits: Limits,
    *,
    parent_pid: int | None = None,
    health_server_address: str | None = None,
) -> None:
    """Run tasks until a signal says to stop.

    Parameters
    ----------
    api
        Where tasks come from.
    modules
        What the fork server preloads; None to start a new process for every task.
    limits
        How much is taken on at once, and for how long.
    parent_pid
        A process with which the executor ends.
    health_server_address
        Where to serve gRPC health checks; None for nowhere.

    Raises
    ------
    FederationError
        If the server refuses the executor, or the fork server cannot do its work.
    """
    # First: the fork server imports while this process connects, and is a copy of a process
    # that has no thread yet and has not read the secret.
    pool = TaskPool(None if modules is None else fork_servers(modules), limits)
    for each in _SIGNALS:
        signal.signal(each, _stop)
    try:
        if parent_pid is not None:
            monitors.end_with(parent_pid)
        if health_server_address is not None:
            monitors.serve_health(health_server_address)
        with TaskSource(api) as source:
            notifications = TaskNotifications(source, pool.task_ids, pool.run_ids)
            try:
                TaskLoop(source, pool, notifications).run()
            finally:
                notifications.close()
    except Stopped:
        logger.info("The executor stops.")
    finally:
        pool.close()


def _stop(signalnum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped
