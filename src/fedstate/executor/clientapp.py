"""Running one ClientApp task, in place of flwr's `run_clientapp`.

flwr's function pushes the reply first and the Context in an exit handler, while a timer of five
seconds is about to end the process: a large state is lost in silence. It also pushes what a
failed step had changed. Here the Context is part of the step: a step either has both a reply
and a stored Context, or an error reply and the Context as it was.
"""

import base64
import signal
import traceback
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from flwr.app import Error, Message
from flwr.clientapp import ClientApp

from fedstate import limits
from fedstate.executor.bare import Handover
from fedstate.executor.install import OtherAppError
from fedstate.executor.loading import Loading
from fedstate.executor.names import AppNameError
from fedstate.executor.room import hint, make_way
from fedstate.flower.apps import LoadClientAppError
from fedstate.flower.errors import ErrorCode
from fedstate.flower.task_client import TaskInput, output_of, task_client
from fedstate.forking import children
from fedstate.large.wire import Buffer, size_of
from fedstate.logs import logger

SendEvent = Callable[[Mapping[str, Any]], bool]


class TaskStopped(SystemExit):
    """The task was told to stop; not an `Exception`, so that an app does not swallow it.

    Event loops hand on a `SystemExit`, and no other exception that is raised in a callback.
    """


class TaskOver(TaskStopped):
    """The task was told to stop since it has ended at its server: nobody waits for a reply."""


class ContextTooLargeError(Exception):
    """The Context that a step left behind cannot be sent to the SuperNode."""


def run_clientapp(
    handover: Handover,
    send_event: SendEvent,
    stop_reason: Callable[[], str],
    over: Callable[[], bool] = lambda: False,
) -> int:
    """Run the task and push what came of it.

    The app is loaded before the message is pulled: it may take this process to execute itself
    anew, in a bare interpreter, and nobody is given a message a second time.

    Parameters
    ----------
    handover
        Where the task is to be had, the token for it, and the way into a bare interpreter.
    send_event
        Sends the executor how far the task has come: ``pulled`` with the message,
        ``replied``, ``finished``. The last one decides what the executor does when this process
        dies. Before them, what the app has imported.
    stop_reason
        Gives the reason when a signal stops the task.
    over
        Returns then whether the task has ended at its server, which expects nothing of it.

    Returns
    -------
    int
        0 when a reply and the Context have arrived, 1 when the step failed and an error reply
        has, 2 when the executor has to report the failure in place of this process, if anybody.
    """

    def stop(signalnum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        _on_stop_signals(_go_on)
        raise (TaskOver if over() else TaskStopped)(stop_reason())

    def pulled(message: bytes) -> None:
        send_event({"event": "pulled", "message": base64.b64encode(message).decode()})

    _on_stop_signals(stop)
    try:
        with task_client(handover.order, retry=True) as client, client.heartbeat():
            client.on_pulled, client.given = pulled, handover.given
            try:
                loading = Loading(handover, client, send_event)
                client_app = loading.load()
                given = client.pull_input()
                reply, output = _step(loading, client_app, given)
                # The work is done: sending it takes less time than doing it again would.
                _on_stop_signals(_go_on)
                client.push_reply(reply, given.context)
                failure = None
            except TaskOver:
                raise
            except BaseException as error:
                _show(error)
                make_way(error)
                if not client.push_error(_error_of(error)):
                    return 2
                failure = _reason(error)
            send_event({"event": "replied"})
            if failure is None:
                client.push_output(output)
            else:
                client.push_failure(failure)
            send_event({"event": "finished"})
    except TaskOver:
        return 2  # the executor says why
    except BaseException:
        traceback.print_exc()
        return 2
    return 0 if failure is None else 1


def _step(
    loading: Loading, client_app: ClientApp, given: TaskInput
) -> tuple[Message, list[Buffer]]:
    """Call the app, and return its reply and the output that stores its Context."""
    with loading.recording():
        reply = children.call(lambda: client_app(message=given.message, context=given.context))
    # Before the reply is pushed: afterwards it would be too late to answer with an error.
    output = output_of(given.context)
    check_size(output)
    return reply, output


def check_size(output: list[Buffer]) -> None:
    """Refuse an output that the SuperNode would not take; raise ContextTooLargeError."""
    size = size_of(output)
    if size > limits.CONTEXT_BYTES:
        raise ContextTooLargeError(
            f"The Context takes {size} bytes, and at most {limits.CONTEXT_BYTES} can be sent "
            "to the SuperNode: keep less in Context.state. The state before this step stays."
        )


def _on_stop_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, handler)


def _go_on(signalnum: int, frame: FrameType | None) -> None:
    """Do nothing: a signal that is ignored is ignored by what an app executes, too."""


def _show(error: BaseException) -> None:
    if isinstance(error, AppNameError | OtherAppError):
        logger.error("%s", error)
    else:
        traceback.print_exception(error)


def _error_of(error: BaseException) -> Error:
    """Return the error as flwr's own process words it."""
    if isinstance(error, LoadClientAppError | AppNameError | OtherAppError):
        return Error(ErrorCode.CLIENT_APP_NOT_LOADED, _reason(error))
    if isinstance(error, TaskStopped):
        return Error(ErrorCode.CLIENT_APP_CRASHED, _reason(error))
    return Error(ErrorCode.CLIENT_APP_RAISED, _reason(error))


def _reason(error: BaseException) -> str:
    return f"{type(error)}:<'{error}'>{hint(error)}"
