"""Speaking to a Runtime API for one task, and giving up a task in good order.

flwr builds such a client inside `run_clientapp`, where nothing else can use it; the executor
needs one to speak for a task whose process has died.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import SubStatus
from flwr.common.serde import message_from_proto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PushTaskOutputRequest,
)
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
)
from flwr.supercore.retry import RetryInvoker
from flwr.supercore.runtime.tracing import RuntimeTracingInterceptor
from flwr.supercore.superexec.executor.types import ExecutionSpec
from flwr.supernode.runtime.run_clientapp import push_message

from fedstate.flower.exchange.client import BatchingRuntimeClient

# flwr waits 30 s for any answer; a Context of 1 GB takes longer to be made durable.
_PATIENCE_SECONDS = 600.0


class TaskClient(BatchingRuntimeClient):
    """A client that remembers which message its task has taken."""

    pulled: MessageProto | None = None
    on_pulled: Callable[[MessageProto], None] | None = None

    def __init__(self, base_url: str, **options: Any) -> None:
        super().__init__(base_url, timeout=_PATIENCE_SECONDS, **options)

    def PullMessages(  # noqa: N802
        self, request: PullAppMessagesRequest
    ) -> PullAppMessagesResponse:
        """Take the task's message; nobody else is given it afterwards."""
        response = super().PullMessages(request)
        if response.messages_list:
            self.pulled = response.messages_list[0]
            if self.on_pulled is not None:
                self.on_pulled(self.pulled)
        return response


def task_client(spec: ExecutionSpec, retry: RetryInvoker | None = None) -> TaskClient:
    """Return a client that shows the task's token with every request.

    Without `retry` a request that fails raises at once, and a token that is not accepted is an
    error like any other: flwr's own policy interrupts the whole process.
    """
    path = spec.root_certificates_path
    return TaskClient.from_server_address(
        server_address=spec.runtime_api_address,
        insecure=spec.insecure,
        root_certificates=Path(path).expanduser().read_bytes() if path else None,
        interceptors=[
            RuntimeTracingInterceptor(),
            RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"),
            RuntimeTokenHttpInterceptor(spec.token),
        ],
        retry_invoker=retry,
    )


def send_error(client: TaskClient, error: Error) -> bool:
    """Answer the task's message with an error; return False when there is no message to answer.

    A SuperNode waits for a reply whatever becomes of the task, so one must be sent.
    """
    if client.pulled is None:
        client.PullMessages(PullAppMessagesRequest())
    if client.pulled is None:
        return False
    message = message_from_proto(client.pulled)
    metadata = message.metadata
    context = Context(metadata.run_id, metadata.dst_node_id, {}, RecordDict(), {})
    push_message(client, Message(error, reply_to=message), context)
    return True


def failed(reason: str) -> PushTaskOutputRequest:
    """Return the output of a task that failed: the reason, and no Context to store."""
    return PushTaskOutputRequest(sub_status=SubStatus.FAILED, details=reason)
