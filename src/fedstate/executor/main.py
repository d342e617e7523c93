"""The executor's process: what it is made of, and how it ends."""

import contextlib
import logging
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from fedstate.executor.failure import report_failure
from fedstate.executor.heart import Heart
from fedstate.executor.loop import Source, TaskLoop
from fedstate.executor.notifications import TaskNotifications
from fedstate.executor.pool import Limits, TaskPool, fork_servers
from fedstate.executor.room_settings import RoomSettings
from fedstate.executor.rooms import Rooms
from fedstate.flower import monitors
from fedstate.flower.tasks import RuntimeApi, TaskSource
from fedstate.logs import cover_everything, logger

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# How long the server may take to answer, which is no reason to take the executor for stuck: one
# request; all that is said of a task that failed; all that an executor does at its end.
_ACQUIRE_SECONDS = 30.0
_REPORT_SECONDS = 600.0
_CLOSE_SECONDS = 60.0
_AGAIN_SECONDS = 0.2


class Stopped(BaseException):
    """A signal has told the executor to end."""


def run_executor(
    api: RuntimeApi,
    modules: Sequence[str] | None,
    limits: Limits,
    *,
    heart: Heart | None = None,
    parent_pid: int | None = None,
    health_server_address: str | None = None,
    rooms: RoomSettings | None = None,
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
    heart
        Where the executor says that it works; None if nobody watches over it.
    parent_pid
        A process with which the executor ends.
    health_server_address
        Where to serve gRPC health checks; None for nowhere.
    rooms
        What the rooms of the runs are like.

    Raises
    ------
    SettingError
        If the rooms cannot be as they are to be.
    FederationError
        If the server refuses the executor, or the fork server cannot do its work.
    """
    # First: the fork server imports while this process connects, and is a copy of a process
    # that has no thread yet and has not read the secret.
    heart = heart or Heart()
    servers = None if modules is None else fork_servers(modules)
    cover_everything()
    try:
        runs_rooms = Rooms(rooms or RoomSettings(), api.address, api.root_certificates)
    except BaseException:
        if servers is not None:
            servers.current.close()
        raise
    pool = TaskPool(
        servers,
        limits,
        rooms=runs_rooms,
        report=heart.during(report_failure, _REPORT_SECONDS),
    )
    # What a callback raises, such as one of Python's own imports, goes there instead of on.
    sys.unraisablehook = _forget_stopped
    for each in _SIGNALS:
        signal.signal(each, _stop)
    try:
        if parent_pid is not None:
            monitors.end_with(parent_pid)
        with contextlib.ExitStack() as stack:
            if health_server_address is not None:
                stack.enter_context(monitors.serving_health(health_server_address))
            source = stack.enter_context(TaskSource(api))
            notifications = TaskNotifications(source, pool.task_ids, pool.run_ids)
            try:
                TaskLoop(_Patient(source, heart), pool, notifications, heart=heart).run()
            finally:
                notifications.close()
    except Stopped:
        signal.setitimer(signal.ITIMER_REAL, 0)
        logger.info("The executor stops.")
    finally:
        with heart.busy(_CLOSE_SECONDS):
            pool.close()


class _Patient:
    """The server, asked for tasks while the executor's silence worries nobody."""

    def __init__(self, source: Source, heart: Heart) -> None:
        self.acquire = heart.during(source.acquire, _ACQUIRE_SECONDS)


def _forget_stopped(unraisable: "sys.UnraisableHookArgs") -> None:
    """Say nothing of a `Stopped` that was lost: it comes again."""
    if unraisable.exc_type is not Stopped:
        sys.__unraisablehook__(unraisable)


def _stop(signalnum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    # It comes again until it has been caught: what a callback raises, of `fork` say, is lost.
    signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
    # Such callbacks hold and let go of logging's lock, which is no place to be interrupted at.
    if frame is None or frame.f_code.co_filename != logging.__file__:
        raise Stopped
