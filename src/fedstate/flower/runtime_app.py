"""flwr's Runtime API for executors and ClientApps, with two handlers of our own plugged in.

flwr's handler of a task's output marks the task finished, then stores its Context, even that of
a task that failed; the reply may have left long before. Here whoever runs the steps is asked, and
the Context and the reply are committed together.

Both handlers see Contexts without their larger arrays, which travel beside them.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

from fastapi import FastAPI
from flwr.app import Context

# The word for a task that has done its work.
from flwr.common.constant import SubStatus

# The Context as it is sent: flwr.app has no public way to read it.
from flwr.common.serde import context_from_proto
from flwr.proto.runtime_pb2 import PushTaskOutputRequest, PushTaskOutputResponse
from flwr.proto.task_pb2 import Task

# The application; flwr's own function for starting it leaves no room for middleware around it.
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeState

# The handlers are a module in flwr; its router takes any object with the same functions.
from flwr.supernode.servicer.runtime import runtime_handlers

from fedstate.flower.nodestate import DurableNodeState, DurableNodeStateFactory
from fedstate.flower.own_objects import OwnRunHandlers
from fedstate.flower.own_routes import keep_objects_in_memory
from fedstate.large.context import SplitContext
from fedstate.large.middleware import Transfer, current_transfer


class StepHooks(Protocol):
    """Who runs the steps, as the handlers of a task's input and output know it."""

    def handing_out(self, task_id: int) -> AbstractContextManager[Callable[[bytes], None]]:
        """Return the context in which what a task works on is read and handed out.

        In it, what it returns is called with the digest of the state that is handed out.
        """

    def on_output(
        self, task_id: int, left: Callable[[], SplitContext] | None, details: str
    ) -> bool:
        """End the step that a task belongs to.

        Parameters
        ----------
        task_id : int
            The task.
        left : callable or None
            Returns the Context that the ClientApp has left; None if the task failed.
        details : str
            Why it failed.

        Returns
        -------
        bool
            False if the task belongs to no step.
        """


def runtime_app(state: DurableNodeState, hooks: StepHooks, secret: bytes | None) -> FastAPI:
    """Return flwr's application.

    Parameters
    ----------
    state : DurableNodeState
        The node state that it serves.
    hooks : StepHooks
        Who runs the steps.
    secret : bytes, optional
        What executors prove to know.
    """
    app = create_app(state_factory=DurableNodeStateFactory(state), superexec_auth_secret=secret)
    app.state.runtime_handlers = _Handlers(hooks)
    keep_objects_in_memory(app)
    return app


class _Handlers(OwnRunHandlers):
    """flwr's handlers, except for the input and the output of a step."""

    def __init__(self, hooks: StepHooks) -> None:
        super().__init__(runtime_handlers)
        self._hooks = hooks

    def pull_task_input(self, request: Any, state: DurableNodeState, task: Task) -> Any:
        """Hand out what a task works on."""
        with self._hooks.handing_out(task.task_id) as note:
            watched = _HandingOut(state, current_transfer())
            response = runtime_handlers.pull_task_input(request, cast("NodeState", watched), task)
            if watched.digest:
                note(watched.digest)
            return response

    def push_task_output(
        self, request: PushTaskOutputRequest, state: NodeState, task: Task
    ) -> PushTaskOutputResponse:
        """Commit what a step made, or end a step that failed."""
        completed = request.sub_status == SubStatus.COMPLETED and request.HasField("context")
        left = (lambda: _pushed_context(request)) if completed else None
        if self._hooks.on_output(task.task_id, left, request.details):
            return PushTaskOutputResponse()
        # What no message asked for is no state; and its larger arrays are not in it.
        request.ClearField("context")
        return runtime_handlers.push_task_output(request, state, task)


def _pushed_context(request: PushTaskOutputRequest) -> SplitContext:
    context = context_from_proto(request.context)
    if (transfer := current_transfer()) is None:
        return SplitContext.split(context)
    return SplitContext(context, transfer.arrays)


class _HandingOut:
    """A node state that hands out a Context, and notes the digest of its state.

    For whoever takes the larger arrays beside the rest, the Context is without them.
    """

    def __init__(self, state: DurableNodeState, transfer: Transfer | None) -> None:
        self._state = state
        self._transfer = transfer
        self.digest = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def get_run_series_context(self, series_id: int) -> Context | None:
        """Return the committed Context of a run series, or None."""
        if (found := self._state.digested_context(series_id)) is None:
            return None
        split, self.digest = found
        if self._transfer is None:
            return split.join()
        self._transfer.arrays = split.arrays
        return split.context
