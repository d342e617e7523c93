"""Which runs and tasks have ended, as a SuperLink's state says."""

from collections.abc import Collection

# How a task, and with it a run, has ended.
from flwr.common.constant import Status, SubStatus
from flwr.proto.task_pb2 import Task

# The state; flwr's Control API and Runtime API ask it the same.
from flwr.server.superlink.linkstate import LinkState, LinkStateFactory

# What flwr writes into tasks that it ends itself; whatever else there is a task has reported.
NOT_REPORTED = (
    "No heartbeat received from the task",
    "Task failed because the run finished",
    "Task failed because the run expired",
)


class SuperLinkEnds:
    """Asks a SuperLink's state what has ended; each of its questions is one query.

    Parameters
    ----------
    factory : LinkStateFactory
        What makes the state.
    """

    def __init__(self, factory: LinkStateFactory) -> None:
        self._factory = factory

    def runs(self, run_ids: Collection[int]) -> set[int]:
        """Return those runs that have ended; not those that the SuperLink does not know."""
        statuses = self._state.get_run_status(set(run_ids))
        return {key for key, each in statuses.items() if each.status == Status.FINISHED}

    def tasks(self, task_ids: Collection[int]) -> set[int]:
        """Return those tasks that have ended, and not by what their process has reported."""
        tasks = self._state.get_tasks(task_ids=list(task_ids))
        going = {task.task_id for task in tasks if not _was_ended(task)}
        return set(task_ids) - going

    @property
    def _state(self) -> LinkState:
        return self._factory.state()


def _was_ended(task: Task) -> bool:
    status = task.status
    if status.status != Status.FINISHED:
        return False
    return status.sub_status == SubStatus.STOPPED or status.details in NOT_REPORTED
