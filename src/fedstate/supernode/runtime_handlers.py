"""The Runtime API as executors and ClientApps see it, with two handlers of our own.

flwr's handler of a task's output marks the task finished, then stores its Context, even that of
a task that failed; the reply may have left long before. Here the Context and the reply are
committed together, and only then the task counts as finished and the reply is sent.

Both handlers see Contexts without their larger arrays, which travel beside them.
"""

from typing import Any, cast

from flwr.app import Context

# The handlers are a module in flwr; its router takes any object with the same functions.
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto
from flwr.proto.runtime_pb2 import PushTaskOutputRequest, PushTaskOutputResponse
from flwr.proto.task_pb2 import Task
from flwr.supernode.nodestate import NodeState
from flwr.supernode.servicer.runtime import runtime_handlers

from fedstate.failpoints import reach
from fedstate.flower.nodestate import DurableNodeState
from fedstate.large.context import SplitContext
from fedstate.large.middleware import Transfer, current_transfer
from fedstate.supernode.steps import Steps


class DurableHandlers:
    """flwr's handlers, except for the input and the output of a step."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        """Return flwr's handler."""
        return getattr(runtime_handlers, name)

    def pull_task_input(self, request: Any, state: DurableNodeState, task: Task) -> Any:
        """Hand out what a task works on."""
        transfer = current_transfer()
        handed_out = cast(
            "NodeState", state if transfer is None else _WithoutArrays(state, transfer)
        )
        with self._steps.critical():
            response = runtime_handlers.pull_task_input(request, handed_out, task)
        reach("context-loaded")
        return response

    def push_task_output(
        self, request: PushTaskOutputRequest, state: NodeState, task: Task
    ) -> PushTaskOutputResponse:
        """Commit what a step made, or end a step that failed."""
        step = self._steps.of_task(task.task_id)
        if step is None:
            # What no message asked for is no state; and its larger arrays are not in it.
            request.ClearField("context")
            return runtime_handlers.push_task_output(request, state, task)
        with self._steps.critical():
            if request.sub_status == SubStatus.COMPLETED and request.HasField("context"):
                self._steps.complete(step, _pushed_context(request))
            else:
                self._steps.fail(step, request.details)
        return PushTaskOutputResponse()


def _pushed_context(request: PushTaskOutputRequest) -> SplitContext:
    context = context_from_proto(request.context)
    if (transfer := current_transfer()) is None:
        return SplitContext.split(context)
    return SplitContext(context, transfer.arrays)


class _WithoutArrays:
    """A node state that hands out Contexts without their larger arrays, and notes these."""

    def __init__(self, state: DurableNodeState, transfer: Transfer) -> None:
        self._state = state
        self._transfer = transfer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def get_run_series_context(self, series_id: int) -> Context | None:
        """Return the committed Context of a run series, or None."""
        if (split := self._state.split_context(series_id)) is None:
            return None
        self._transfer.arrays = split.arrays
        return split.context
