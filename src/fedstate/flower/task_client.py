"""Speaking to a Runtime API for one task: its input, its reply, its output, its failure.

flwr builds such a client inside `run_clientapp`, where nothing else can use it; the executor
needs one to speak for a task whose process has died.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flwr.app import Context, Error, Message, RecordDict

# The messages of the Runtime API that a task's process sends, and how a Context, a message and
# an output become such.
from flwr.common.constant import SubStatus
from flwr.common.serde import (
    context_to_proto,
    fab_from_proto,
    message_from_proto,
    run_from_proto,
)
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
)
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PullTaskInputRequest,
    PullTaskInputResponse,
    PushTaskOutputRequest,
)

# The task's heartbeat, without which its token expires.
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http

# Within it, flwr does not compute the ID of an object again.
from flwr.supercore.inflatable.inflatable_object import no_object_id_recompute

# What flwr's own process shows with each request: the token, the version, the trace.
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
)
from flwr.supercore.runtime.tracing import RuntimeTracingInterceptor

# Which task this process is of, for the messages that its app makes.
from flwr.supercore.task_identity import TaskIdentity

# A message goes in and out as a tree of objects; flwr's process has the functions for it.
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message

from fedstate.errors import FederationError
from fedstate.flower import transport
from fedstate.flower.apps import App
from fedstate.flower.field_numbers import TASK_INPUT, TASK_OUTPUT
from fedstate.flower.object_client import BatchingRuntimeClient
from fedstate.flower.protobuf_call import send_pieces, whole
from fedstate.flower.reply_times import keep_alive
from fedstate.flower.task_order import TaskOrder
from fedstate.large.context import SplitContext
from fedstate.large.wire import (
    Buffer,
    LargeArrays,
    join_message,
    split_message,
)

# flwr waits 30 s for any answer; a Context of 1 GB takes longer to be made durable.
_PATIENCE_SECONDS = 600.0
# A token is good for 30 s when its task is taken.
_FIRST_BEAT = 5.0
# flwr tries for ever.
_RETRY_SECONDS = 60.0


class TaskReportError(FederationError):
    """The server could not be told what became of a task."""


class TaskOverError(TaskReportError):
    """The server does not know the task's token any longer: the task is over there."""


@dataclass(frozen=True)
class TaskInput:
    """What a ClientApp's task works on."""

    message: Message
    context: Context


class TaskClient(BatchingRuntimeClient):
    """A client that remembers which message its task has taken.

    A Context goes both ways without the copies that protobuf would make of its arrays.

    Attributes
    ----------
    pulled : bytes or None
        The message without its content, which an error reply to it needs; None before it was
        pulled. The Runtime API gives a message out once.
    on_pulled : callable or None
        Is called with these bytes as soon as they are known.
    given : bytes or None
        The answer to the request for what the task works on, which the Runtime API gives out
        once, too; None before it was asked for. Whoever was handed it over sets it.
    """

    pulled: bytes | None = None
    on_pulled: Callable[[bytes], None] | None = None
    given: bytes | bytearray | None = None
    _taken = LargeArrays()

    def __init__(self, base_url: str, **options: Any) -> None:
        super().__init__(base_url, timeout=_PATIENCE_SECONDS, **options)

    def PullMessages(  # noqa: N802
        self, request: PullAppMessagesRequest
    ) -> PullAppMessagesResponse:
        """Take the task's message; nobody else is given it afterwards."""
        response = super().PullMessages(request)
        if response.messages_list:
            self.pulled = bytes(response.messages_list[0].SerializeToString())
            if self.on_pulled is not None:
                self.on_pulled(self.pulled)
        return response

    def ConfirmMessageReceived(  # noqa: N802
        self, request: ConfirmMessageReceivedRequest
    ) -> ConfirmMessageReceivedResponse:
        """Say that a message has arrived; a small one is forgotten with its step anyway."""
        if self.has_pulled_at_once(request.message_object_id):
            return ConfirmMessageReceivedResponse()
        return super().ConfirmMessageReceived(request)

    def PullTaskInput(self, request: PullTaskInputRequest) -> PullTaskInputResponse:  # noqa: N802
        """Take what the task works on; the Context's larger arrays are kept beside."""
        if self.given is None:
            pieces = [request.SerializeToString()]
            self.given = self._post("pull-task-input", "PullTaskInput", request, pieces)
        bare, self._taken = split_message(memoryview(self.given), TASK_INPUT)
        response: PullTaskInputResponse = PullTaskInputResponse.FromString(bare)
        return response

    def pull_app(self) -> App:
        """Take the app of the task's run, and leave its message where it is."""
        response = self.PullTaskInput(PullTaskInputRequest())
        TaskIdentity.task_id = response.task_id
        TaskIdentity.run_id = response.run.run_id
        TaskIdentity.node_id = response.context.node_id
        run, fab = run_from_proto(response.run), fab_from_proto(response.fab)
        return App(
            *(run.run_id, run.fab_id, run.fab_version, fab.hash_str, fab.content),
            node_id=response.context.node_id,
        )

    def pull_input(self) -> TaskInput:
        """Take the task's message and its Context; once, and what was given is forgotten."""
        message, context, _, _ = pull_task_input(self)
        context = SplitContext(context, self._taken).join()
        self._taken, self.given = LargeArrays(), None
        return TaskInput(message, context)

    def push_reply(self, reply: Message, context: Context) -> None:
        """Push the reply to the task's message; the Context names the run and the node."""
        keep_alive(reply)
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            node = Node(node_id=context.node_id)
            taken = self.send_whole(node, context.run_id, [reply])
        if taken is None:
            push_message(self, reply, context)

    def push_output(self, pieces: Sequence[Buffer]) -> None:
        """Push the output that `output_of` made."""
        self._post("push-task-output", "PushTaskOutput", PushTaskOutputRequest(), pieces)

    def push_failure(self, reason: str) -> None:
        """Push that the task has failed, and no Context to store."""
        self.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.FAILED, details=reason))

    def push_error(self, error: Error) -> bool:
        """Answer the task's message with an error; return False if there is no message.

        A SuperNode waits for a reply whatever becomes of the task, so one must be sent.
        """
        if self.pulled is None:
            self.PullMessages(PullAppMessagesRequest())
        if self.pulled is None:
            return False
        message = message_from_proto(MessageProto.FromString(self.pulled))
        metadata = message.metadata
        context = Context(metadata.run_id, metadata.dst_node_id, {}, RecordDict(), {})
        self.push_reply(Message(error, reply_to=message), context)
        return True

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Send heartbeats while the block runs, on a thread; none for a block that is short.

        When the server does not know the token any longer, SIGINT is raised in this process.
        """
        send, over, pauses = make_task_heartbeat_fn_http(self), threading.Event(), [_FIRST_BEAT]

        def beat() -> bool:
            return over.wait(pauses.pop() if pauses else 0.0) or bool(send())

        sender = HeartbeatSender(beat)
        sender.start()
        try:
            yield
        finally:
            over.set()
            if sender.is_running:
                sender.stop()

    def _post(self, route: str, method: str, message: Any, pieces: Sequence[Buffer]) -> bytearray:
        return send_pieces(
            self, f"/v1/runtime/{route}", f"/flwr.proto.Runtime/{method}", message, pieces, whole
        )


def output_of(context: Context) -> list[Buffer]:
    """Return the output of a task that left this Context, in pieces."""
    split = SplitContext.split(context)
    output = PushTaskOutputRequest(
        context=context_to_proto(split.context), sub_status=SubStatus.COMPLETED
    )
    return join_message(output.SerializeToString(), TASK_OUTPUT, split.arrays)


def task_client(order: TaskOrder, *, retry: bool = False) -> TaskClient:
    """Return a client that shows the task's token with every request.

    With `retry` a request that fails is repeated by flwr's policy, which interrupts the whole
    process when the token is not accepted, for a minute at most: a SuperNode that is away for
    longer has expired the token. Without it, that is an error like any other.
    """
    retries = transport.retry_policy() if retry else None
    if retries is not None:
        retries.max_time = _RETRY_SECONDS
    return transport.connected(
        TaskClient,
        order.runtime_api_address,
        insecure=order.insecure,
        root_certificates=order.root_certificates_path,
        interceptors=[
            RuntimeTracingInterceptor(),
            RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"),
            RuntimeTokenHttpInterceptor(order.token),
        ],
        retries=retries,
        socket=order.runtime_api_socket,
    )


@contextmanager
def reporting(order: TaskOrder) -> Iterator[TaskClient]:
    """Open a client with which somebody else than the task's process reports on the task.

    Raises
    ------
    TaskOverError
        If the task is over at the server.
    TaskReportError
        If the server cannot be told, whatever the reason: the connection, the certificate
        authority, or flwr's functions, which have no common error.
    """
    try:
        with task_client(order) as client:
            yield client
    except Exception as error:
        kind = TaskOverError if transport.is_unauthorized(error) else TaskReportError
        raise kind(str(error) or type(error).__name__) from error
