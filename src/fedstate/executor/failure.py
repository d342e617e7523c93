"""Reporting a task whose process ended before it had reported."""

from flwr.app import Error

from fedstate.executor.task import Task
from fedstate.flower.errors import ErrorCode
from fedstate.flower.task_client import TaskOverError, TaskReportError, reporting
from fedstate.flower.task_order import TaskKind
from fedstate.logs import logger


def report_failure(task: Task, reason: str) -> None:
    """Report to the SuperNode or SuperLink that the task has failed, with the task's own token.

    Without this they would notice when the token expires, 30 to 60 s later. What cannot be
    reported (the server is down, or has expired the task already) is left to that.
    """
    with task.labelled():
        task_id, problem = task.order.task_id, ""
        try:
            if not _report(task, reason):
                problem = f"Task {task_id} has no message to answer; it will expire."
        except TaskOverError:
            # The run has ended, say: the process may hear of it sooner than the executor does.
            logger.info("Task %d is over at its server. %s", task_id, reason)
            return
        except TaskReportError as error:
            problem = f"The failure of task {task_id} could not be reported: {error}"
        logger.error("Task %d failed: %s", task_id, reason)
        if problem:
            logger.warning("%s", problem)


def _report(task: Task, reason: str) -> bool:
    """Report a failure; return False if there is no message to answer."""
    with reporting(task.order) as client:
        client.pulled = task.message
        if task.order.kind == TaskKind.CLIENT_APP and not task.replied:
            error = Error(ErrorCode.CLIENT_APP_CRASHED, reason)
            if not client.push_error(error):
                return False
        client.push_failure(reason)
    return True
