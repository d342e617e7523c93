"""Speaking to a Runtime API for one task, and giving up a task in good order.

flwr builds such a client inside `run_clientapp`, where nothing else can use it; the executor
needs one to speak for a task whose process has died.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import SubStatus
from flwr.common.serde import context_to_proto, message_from_proto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PullTaskInputRequest,
    PullTaskInputResponse,
    PushTaskOutputRequest,
)
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.retry import RetryInvoker
from flwr.supercore.run import Run
from flwr.supercore.runtime.tracing import RuntimeTracingInterceptor
from flwr.supercore.superexec.executor.types import ExecutionSpec
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message

from fedstate.flower.field_numbers import TASK_INPUT, TASK_OUTPUT
from fedstate.flower.object_client import BatchingRuntimeClient
from fedstate.large.context import SplitContext
from fedstate.large.wire import (
    Buffer,
    LargeArrays,
    in_chunks,
    join_message,
    size_of,
    split_message,
)

# flwr waits 30 s for any answer; a Context of 1 GB takes longer to be made durable.
_PATIENCE_SECONDS = 600.0


class TaskClient(BatchingRuntimeClient):
    """A client that remembers which message its task has taken.

    A Context goes both ways without the copies that protobuf would make of its arrays.
    """

    pulled: MessageProto | None = None
    arrays = LargeArrays()
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

    def PullTaskInput(self, request: PullTaskInputRequest) -> PullTaskInputResponse:  # noqa: N802
        """Take what the task works on; the Context's larger arrays are left in `arrays`."""
        pieces = [request.SerializeToString()]
        body = self._exchange("pull-task-input", "PullTaskInput", request, pieces)
        bare, self.arrays = split_message(memoryview(body), TASK_INPUT)
        response: PullTaskInputResponse = PullTaskInputResponse.FromString(bare)
        return response

    def push_output(self, pieces: Sequence[Buffer]) -> None:
        """Push the output that `output_of` made."""
        self._exchange("push-task-output", "PushTaskOutput", PushTaskOutputRequest(), pieces)

    def _exchange(
        self, route: str, method: str, message: Any, pieces: Sequence[Buffer]
    ) -> bytearray:
        headers = {
            "content-type": PROTOBUF_MEDIA_TYPE,
            "accept": PROTOBUF_MEDIA_TYPE,
            "accept-encoding": "identity",
            "content-length": str(size_of(pieces)),
        }
        url = f"{self._base_url}/v1/runtime/{route}"

        def send() -> bytearray:
            request = self._client.build_request(
                "POST", url, content=_Content(pieces), headers=headers
            )
            context = ProtobufRequestContext(f"/flwr.proto.Runtime/{method}", message, request)
            response = self._send(context, stream=True)
            try:
                response.raise_for_status()
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                return body
            finally:
                response.close()

        if self._retry_invoker is None:
            return send()
        body: bytearray = self._retry_invoker.invoke(send)
        return body


class _Content:
    """The body of a request, which can be sent again."""

    def __init__(self, pieces: Sequence[Buffer]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return in_chunks(self._pieces)


def pull_input(client: TaskClient) -> tuple[Message, Context, Run, Fab]:
    """Take a task's message, Context, run and FAB."""
    message, context, run, fab = pull_task_input(client)
    context = SplitContext(context, client.arrays).join()
    client.arrays = LargeArrays()
    return message, context, run, fab


def output_of(context: Context) -> list[Buffer]:
    """Return the output of a task that left this Context, in pieces."""
    split = SplitContext.split(context)
    output = PushTaskOutputRequest(
        context=context_to_proto(split.context), sub_status=SubStatus.COMPLETED
    )
    return join_message(output.SerializeToString(), TASK_OUTPUT, split.arrays)


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
