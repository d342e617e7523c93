"""The Runtime API as executors and ClientApps see it, with one handler of our own.

flwr's handler of a task's output marks the task finished, then stores its Context, even that of
a task that failed; the reply may have left long before. Here the Context and the reply are
committed together, and only then the task counts as finished and the reply is sent.
"""

from typing import Any

# The handlers are a module in flwr; its router takes any object with the same functions.
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto
from flwr.proto.runtime_pb2 import PushTaskOutputRequest, PushTaskOutputResponse
from flwr.proto.task_pb2 import Task
from flwr.supernode.nodestate import NodeState
from flwr.supernode.servicer.runtime import runtime_handlers

from fedstate.failpoints import reach
from fedstate.flower.supernode.steps import Steps


class DurableHandlers:
    """flwr's handlers, except for the input and the output of a step."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        """Return flwr's handler."""
        return getattr(runtime_handlers, name)

    def pull_task_input(self, request: Any, state: NodeState, task: Task) -> Any:
        """Hand out what a task works on."""
        with self._steps.critical():
            response = runtime_handlers.pull_task_input(request, state, task)
        reach("context-loaded")
        return response

    def push_task_output(
        self, request: PushTaskOutputRequest, state: NodeState, task: Task
    ) -> PushTaskOutputResponse:
        """Commit what a step made, or end a step that failed."""
        step = self._steps.of_task(task.task_id)
        if step is None:
            return runtime_handlers.push_task_output(request, state, task)
        with self._steps.critical():
            if request.sub_status == SubStatus.COMPLETED and request.HasField("context"):
                self._steps.complete(step, context_from_proto(request.context))
            else:
                self._steps.fail(step, request.details)
        return PushTaskOutputResponse()
