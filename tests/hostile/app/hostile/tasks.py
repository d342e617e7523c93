"""Probes of the Runtime API: what the token of its own task opens of other runs."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from flwr.proto.log_pb2 import PushLogsRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushAppMessagesRequest,
)
from flwr.supercore.interceptors import (
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient

from fedstate.flower.task_client import task_client
from fedstate.flower.task_order import TaskOrder

from .registry import Attempts, Denied, Hints, probe

FORGED = "forged-line-of-a-hostile-app"


def _order() -> TaskOrder:
    for each in gc.get_objects():
        if isinstance(each, TaskOrder):
            return each
    raise Denied("no order")


def _asked(token: str | None, ask: Callable[[Any], Any]) -> Any:
    own = _order()
    order = TaskOrder(
        own.kind,
        own.task_id,
        own.token if token is None else token,
        own.runtime_api_address,
        own.insecure,
        own.root_certificates_path,
    )
    try:
        with task_client(order) as client:
            return ask(client)
    except httpx.HTTPStatusError as error:
        raise Denied(f"HTTP {error.response.status_code}") from None


_REFUSED = "HTTP_401 HTTP_403 HTTP_400 HTTP_404 HTTP_409 HTTP_412 HTTP_422 nothing_of_others"


@probe(_REFUSED)
def acquire_a_task_with_its_own_token(hints: Hints, attempts: Attempts) -> None:
    """Ask for the next task of any run with a token in place of the executor's secret."""
    request = AcquireTaskRequest(supported_task_types=["flwr-clientapp", "flwr-serverapp"])
    for name, token in (("own", None), ("guessed", "a" * 43)):
        attempts.of(
            name, lambda token=token: _asked(token, lambda client: client.AcquireTask(request))
        )


@probe(f"{_REFUSED} EACCES EPERM ENOENT", before="root landlock containers")
def acquire_a_task_with_the_secret(hints: Hints, attempts: Attempts) -> None:
    """Read the executor's secret and sign with it what claims the next task of any run."""

    def acquired() -> str:
        secret = Path(hints.files["executor secret"]).read_bytes()
        own = _order()
        with RuntimeHttpClient.from_server_address(
            server_address=own.runtime_api_address,
            insecure=own.insecure,
            root_certificates=Path(str(own.root_certificates_path)).read_bytes(),
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="hostile"),
                SuperExecAuthHttpInterceptor(
                    master_secret=secret.strip(),
                    protected_methods=["/flwr.proto.Runtime/AcquireTask"],
                ),
            ],
        ) as client:
            # Of no kind, so that no task is taken from anybody.
            client.AcquireTask(AcquireTaskRequest())
        return "could acquire"

    if "executor secret" in hints.files:
        attempts.of("secret", acquired)


@probe(_REFUSED)
def take_the_victims_task(hints: Hints, attempts: Attempts) -> None:
    """Pull the input and the message of another task than its own, by a guessed token."""
    for token in ("none", "a" * 43):
        attempts.of("input", lambda token=token: _asked(token, _pull_input))


def _pull_input(client: Any) -> str:
    return str(client.PullTaskInput(PullTaskInputRequest()))[:40]


@probe(_REFUSED)
def pull_the_victims_objects(hints: Hints, attempts: Attempts) -> None:
    """Pull and confirm messages and objects of the victim's run with its own token."""
    run_id = int(hints.victim.get("run", 0))
    for object_id in hints.victim.get("objects", ["0" * 64]):

        def pulled(object_id: str = object_id) -> str:
            request = _with_run(PullObjectRequest, run_id, object_id=object_id)
            answer = _asked(None, lambda client: client.PullObject(request))
            if not answer.object_found and not answer.object_available:
                raise Denied("nothing of others")
            return f"object of {len(answer.object_content)} bytes"

        def pushed(object_id: str = object_id) -> str:
            request = _with_run(
                PushObjectRequest, run_id, object_id=object_id, object_content=b"forged"
            )
            answer = _asked(None, lambda client: client.PushObject(request))
            if not answer.stored:
                raise Denied("nothing of others")
            return "stored"

        def confirmed(object_id: str = object_id) -> str:
            request = _with_run(
                ConfirmMessageReceivedRequest, run_id, message_object_id=object_id
            )
            _asked(None, lambda client: client.ConfirmMessageReceived(request))
            raise Denied("nothing of others")

        attempts.of("pull", pulled)
        attempts.of("push", pushed)
        attempts.of("confirm", confirmed)


@probe(f"{_REFUSED} HTTP_500", sides="server")
def send_messages_in_anothers_name(hints: Hints, attempts: Attempts) -> None:
    """Push messages of the victim's run, and pull its replies, with its own token."""
    run_id = int(hints.victim.get("run", 0))

    def pulled() -> str:
        request = _with_run(PullAppMessagesRequest, run_id, message_ids=["0" * 64])
        answer = _asked(None, lambda client: client.PullMessages(request))
        of_others = [
            each
            for each in answer.messages_list
            if each.metadata.run_id == run_id and each.HasField("content")
        ]
        if not of_others:
            raise Denied("nothing of others")
        return f"{len(of_others)} messages"

    def pushed() -> str:
        request = _with_run(PushAppMessagesRequest, run_id)
        message = request.messages_list.add()
        message.metadata.run_id = run_id
        message.metadata.message_type = "train"
        message.metadata.dst_node_id = int(hints.victim.get("node", 1))
        answer = _asked(None, lambda client: client.PushMessages(request))
        if not any(answer.message_ids):
            raise Denied("nothing of others")
        return f"accepted {answer.message_ids}"

    attempts.of("pull", pulled)
    attempts.of("push", pushed)


@probe(f"{_REFUSED} HTTP_500", sides="client")
def answer_in_the_victims_place(hints: Hints, attempts: Attempts) -> None:
    """Push a reply to a message of the victim's, as the victim's node, with its own token."""
    run_id = int(hints.victim.get("run", 0))

    def pushed(run_id: int, replied_to: str) -> str:
        request = _with_run(PushAppMessagesRequest, run_id)
        message = request.messages_list.add()
        message.metadata.run_id = run_id
        message.metadata.message_type = "train"
        message.metadata.reply_to_message_id = replied_to
        message.metadata.src_node_id = int(hints.victim.get("node", 1))
        message.metadata.dst_node_id = 1
        answer = _asked(None, lambda client: client.PushMessages(request))
        if not any(answer.message_ids):
            raise Denied("nothing of others")
        return f"accepted {answer.message_ids}"

    for replied_to in hints.victim.get("objects", ["0" * 64]):
        attempts.of("reply", lambda replied_to=replied_to: pushed(run_id, replied_to))


@probe(_REFUSED)
def print_by_the_runtime_api(hints: Hints, attempts: Attempts) -> None:
    """Push lines into the log of the victim's run; the siege looks for them there."""
    request = PushLogsRequest(run_id=int(hints.victim.get("run", 0)), logs=[f"\n{FORGED}\n"])

    def pushed() -> str:
        _asked(None, lambda client: client.PushLogs(request))
        raise Denied("nothing of others")

    attempts.of("logs", pushed)


def _with_run(kind: Any, run_id: int, **fields: Any) -> Any:
    """Make a request of another run, where requests say of which run they are."""
    request = kind(**fields)
    if "run_id" in kind.DESCRIPTOR.fields_by_name:
        request.run_id = run_id
    return request
