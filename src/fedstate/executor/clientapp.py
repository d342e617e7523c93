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

from flwr.app import Context, Error, Message
from flwr.clientapp.client_app import LoadClientAppError
from flwr.clientapp.utils import get_load_client_app_fn
from flwr.common.constant import ErrorCode
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.supercore.fab import Fab
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.run import Run
from flwr.supercore.superexec.dependency_installer import install_app_dependencies
from flwr.supercore.superexec.executor.types import ExecutionSpec
from flwr.supernode.runtime.run_clientapp import push_message

from fedstate import limits
from fedstate.executor.install import install
from fedstate.flower.task_client import failed, output_of, pull_input, send_error, task_client
from fedstate.large.wire import Buffer, size_of

Tell = Callable[[Mapping[str, Any]], bool]


class TaskStopped(BaseException):
    """The task was told to stop; not an `Exception`, so that an app does not swallow it."""


class ContextTooLargeError(Exception):
    """The Context that a step left behind cannot be sent to the SuperNode."""


def run_clientapp(spec: ExecutionSpec, tell: Tell, why_stopped: Callable[[], str]) -> int:
    """Run the task and push what came of it.

    Parameters
    ----------
    spec
        Where the task is to be had, and the token for it.
    tell
        Tells the executor how far the task has come: ``pulled`` with the message,
        ``replied``, ``finished``. What it has heard last decides what it does when this
        process dies.
    why_stopped
        Gives the reason when a signal stops the task.

    Returns
    -------
    int
        0 when a reply and the Context have arrived, 1 when the step failed and an error reply
        has, 2 when the executor has to give up the task in place of this process.
    """

    def stop(signalnum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        _on_stop_signals(signal.SIG_IGN)
        raise TaskStopped(why_stopped())

    _on_stop_signals(stop)

    client = task_client(spec, make_simple_http_retry_invoker())
    client.on_pulled = lambda message: _tell_pulled(tell, message)
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    try:
        try:
            message, context, run, fab = pull_input(client)
            reply, output = _step(spec, message, context, run, fab)
            # The work is done: sending it takes less time than doing it again would.
            _on_stop_signals(signal.SIG_IGN)
            push_message(client, reply, context)
            completed = True
        except (Exception, TaskStopped) as error:
            traceback.print_exc()
            if not send_error(client, _error_of(error)):
                return 2
            completed, reason = False, _reason(error)
        tell({"event": "replied"})
        if completed:
            client.push_output(output)
        else:
            client.PushTaskOutput(failed(reason))
        tell({"event": "finished"})
    except (Exception, TaskStopped):
        traceback.print_exc()
        return 2
    finally:
        if heartbeat.is_running:
            heartbeat.stop()
        client.close()
    return 0 if completed else 1


def _step(
    spec: ExecutionSpec, message: Message, context: Context, run: Run, fab: Fab
) -> tuple[Message, list[Buffer]]:
    """Load the app, call it, and return its reply and the output that stores its Context."""
    directory = install(fab.content)
    if spec.runtime_dependency_install:
        install_app_dependencies(directory, launch_id=spec.token, run_id=run.run_id)
    load = get_load_client_app_fn(default_app_ref="", app_path=None, multi_app=True)
    app = load(run.fab_id, run.fab_version, fab.hash_str)
    reply = app(message=message, context=context)
    # Before the reply is pushed: afterwards it would be too late to answer with an error.
    output = output_of(context)
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


def _on_stop_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, handler)


def _tell_pulled(tell: Tell, message: MessageProto) -> None:
    encoded = base64.b64encode(message.SerializeToString()).decode()
    tell({"event": "pulled", "message": encoded})


def _error_of(error: BaseException) -> Error:
    """Return the error as flwr's own process words it."""
    if isinstance(error, LoadClientAppError):
        return Error(ErrorCode.LOAD_CLIENT_APP_EXCEPTION, _reason(error))
    if isinstance(error, TaskStopped):
        return Error(ErrorCode.CLIENT_APP_CRASHED, _reason(error))
    return Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, _reason(error))


def _reason(error: BaseException) -> str:
    return f"{type(error)}:<'{error}'>"
