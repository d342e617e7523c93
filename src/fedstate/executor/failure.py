"""Giving up a task whose process died before it had reported."""

import httpx
from flwr.app import Error
from flwr.common.constant import ErrorCode
from flwr.supercore.constant import TaskType

from fedstate.executor.task import Task
from fedstate.flower.task_client import failed, send_error, task_client
from fedstate.logs import logger


def give_up(task: Task, reason: str) -> None:
    """Tell the SuperNode or SuperLink that the task has failed, with its own token.

    Without this they would notice when the token expires, 30 to 60 s later. What cannot be told
    (the server is down, or has given the task up already) is left to that.
    """
    task_id = task.spec.task_id
    logger.error("Task %d failed: %s", task_id, reason)
    try:
        with task_client(task.spec) as client:
            client.pulled = task.message
            if task.spec.task_type == TaskType.CLIENT_APP and not task.replied:
                error = Error(ErrorCode.CLIENT_APP_CRASHED, reason)
                if not send_error(client, error):
                    logger.warning("Task %d has no message to answer; it will expire.", task_id)
                    return
            client.PushTaskOutput(failed(reason))
    except httpx.HTTPError as error:
        logger.warning("The failure of task %d could not be reported: %s", task_id, error)
