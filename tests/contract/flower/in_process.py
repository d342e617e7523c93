"""flwr's real applications, with what is ours in them, called in this process: no sockets.

Everything between a client's call and the database is what runs in a federation: the client with
its interceptors, flwr's middleware with its authentication, the routers, handlers and states.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar
from unittest import mock

import httpx
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ArrayRecord, Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.constant import SUPERLINK_NODE_ID, SubStatus
from flwr.common.serde import message_to_proto, run_from_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
    RegisterNodeFleetRequest,
)
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.superexec.executor.types import ExecutionSpec
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.cli.flower_superlink import _parse_superlink_lifespan_config
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from starlette.testclient import TestClient

from fedstate.exchange.signals import Signals
from fedstate.flower.clients import FleetClient
from fedstate.flower.control import Control
from fedstate.flower.grid import ExchangeGrid
from fedstate.flower.task_client import TaskClient, task_client
from fedstate.superlink.main import extend, make_app

APP = Path(__file__).parents[2] / "apps" / "counting"
HEARTBEAT_SECONDS = 10.0
Client = TypeVar("Client", bound=ProtobufClient)


def arrays(*values: float) -> RecordDict:
    """Return records with an array for each value."""
    return RecordDict({"arrays": ArrayRecord([np.full(10, value) for value in values])})


class Server:
    """An application that answers in this process."""

    def __init__(self, app: Any, address: str) -> None:
        self.address = address
        self._client = TestClient(app)

    def __enter__(self) -> Self:
        self._client.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    def reach(self, client: Client) -> Client:
        """Let a client of flwr's or ours call the application."""
        theirs = client._client
        theirs.close()
        client._client = httpx.Client(
            transport=self._client._transport, timeout=theirs.timeout, follow_redirects=True
        )
        return client

    def acquire(self, task_type: str) -> ExecutionSpec | None:
        """Acquire a task as an executor does; return what its process is given, or None."""
        client = RuntimeHttpClient.from_server_address(
            self.address,
            insecure=True,
            root_certificates=None,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flower-superexec")],
        )
        with self.reach(client):
            given = client.AcquireTask(AcquireTaskRequest(supported_task_types=[task_type]))
        if not given.HasField("task"):
            return None
        return ExecutionSpec(
            task_type=TaskType(given.task.type),
            runtime_api_address=self.address,
            token=given.token,
            insecure=True,
            root_certificates_path=None,
            runtime_dependency_install=False,
            parent_pid=None,
            suppress_output=False,
            task_id=given.task.task_id,
            fab_hash=given.task.fab_hash,
        )

    def task_client(self, spec: ExecutionSpec) -> TaskClient:
        """Return the client of a task's process."""
        return self.reach(task_client(spec))


class SuperLink(Server):
    """Our SuperLink."""

    def __init__(self, directory: Path) -> None:
        arguments = ["flower-superlink", "--insecure", "--isolation", "process"]
        with mock.patch.object(
            sys, "argv", [*arguments, "--database", str(directory / "link.db")]
        ):
            self.app = make_app(_parse_superlink_lifespan_config())
        self.signals = Signals()
        extend(self.app, self.signals)
        self.state: Any = self.app.state.linkstate_factory.state()
        super().__init__(self.app, "superlink:1")

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        self.state._engine.dispose()

    def control(self) -> Control:
        """Return a client of the Control API."""
        client = ControlHttpClient.from_server_address(
            self.address,
            insecure=True,
            root_certificates=None,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="fedstate")],
        )
        return Control(self.reach(client), self.address)

    def fleet_client(self, key: ec.EllipticCurvePrivateKey) -> FleetClient:
        """Return a client of the Fleet API that signs with a node's key."""
        client = FleetClient.from_server_address(
            self.address,
            True,
            None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(key, key.public_key()),
            ],
        )
        return self.reach(client)

    def lapse(self, node_id: int) -> None:
        """Let the last heartbeat of a node lapse."""
        rows = self.state.query(
            "UPDATE node SET online_until = 1 WHERE node_id = :id RETURNING node_id",
            {"id": node_id - 2**64 if node_id >= 2**63 else node_id},
        )
        assert rows, "flwr keeps elsewhere how long a node counts as online"


class Node:
    """A node that is online at a SuperLink, and calls what flwr's SuperNode calls."""

    def __init__(self, superlink: SuperLink) -> None:
        self.key = ec.generate_private_key(ec.SECP384R1())
        self.public_key = public_key_to_bytes(self.key.public_key())
        self.client = superlink.fleet_client(self.key)
        self.client.RegisterNode(RegisterNodeFleetRequest(public_key=self.public_key))
        self.id = self.activate()
        self.proto = NodeProto(node_id=self.id)

    def activate(self) -> int:
        request = ActivateNodeRequest(
            public_key=self.public_key, heartbeat_interval=HEARTBEAT_SECONDS
        )
        return int(self.client.ActivateNode(request).node_id)

    def pull(self) -> Any:
        """Pull a message; return flwr's answer, which may have one."""
        return self.client.PullMessages(PullMessagesRequest(node=self.proto))

    def pull_object(self, run_id: int, object_id: str) -> Any:
        return self.client.PullObject(
            PullObjectRequest(node=self.proto, run_id=run_id, object_id=object_id)
        )

    def take(self, pulled: Any) -> Message:
        """Pull the objects of a pulled message one by one; return the message."""
        (tree,) = pulled.message_object_trees
        run_id = pulled.messages_list[0].metadata.run_id
        ids = dict.fromkeys(each.object_id for each in iterate_object_tree(tree))
        contents = {each: self.pull_object(run_id, each).object_content for each in ids}
        message = inflate_object_from_contents(tree.object_id, contents)
        assert isinstance(message, Message)
        message.metadata.__dict__["_message_id"] = tree.object_id
        return message

    def announce(self, reply: "Reply") -> Any:
        """Push a reply without its objects; return flwr's answer, which says what is missing."""
        return self.client.PushMessages(reply.request(self.proto))

    def upload(self, reply: "Reply", session_id: str, object_ids: Iterable[str]) -> list[bool]:
        """Push objects of a reply one by one; return which were stored."""
        return [
            self.client.PushObject(
                PushObjectRequest(
                    node=self.proto,
                    run_id=reply.message.metadata.run_id,
                    session_id=session_id,
                    object_id=each,
                    object_content=reply.objects[each],
                )
            ).stored
            for each in object_ids
        ]

    def answer(self, reply: "Reply") -> None:
        """Push a reply and all of its objects."""
        announced = self.announce(reply)
        assert all(self.upload(reply, announced.session_id, announced.objects_to_push))

    def confirm(self, message: Message) -> None:
        """Say that a message need not be kept."""
        self.client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(
                node=self.proto,
                run_id=message.metadata.run_id,
                message_object_id=message.metadata.message_id,
            )
        )


class Reply:
    """A reply and the objects that it is made of."""

    def __init__(self, to: Message, content: RecordDict | Error) -> None:
        self.message = Message(content, reply_to=to)
        self.message.metadata.__dict__["_message_id"] = self.id = self.message.object_id
        with no_object_id_recompute():
            self.tree = get_object_tree(self.message)
            nested = get_all_nested_objects(self.message)
            self.objects = {key: each.deflate() for key, each in nested.items()}

    def request(self, node: NodeProto) -> PushMessagesRequest:
        """Return the request that announces it."""
        bare = remove_content_from_message(self.message)
        return PushMessagesRequest(
            node=node,
            messages_list=[message_to_proto(bare)],
            message_object_trees=[self.tree],
            clientapp_runtime_list=[0.5],
        )


class Run:
    """A run of an app, and the Grid of its ServerApp."""

    def __init__(self, superlink: SuperLink) -> None:
        self.id = superlink.control().start_run(APP, {})
        spec = superlink.acquire(TaskType.SERVER_APP)
        assert spec is not None, "the run has a task for an executor of ServerApps"
        self.spec = spec
        self.client = superlink.task_client(spec)
        given = self.client.PullTaskInput(PullTaskInputRequest())
        assert given.run.run_id == self.id
        self.grid = ExchangeGrid(superlink.address, insecure=True, token=spec.token)
        self.grid._connect()
        superlink.reach(self.grid._runtime_client)
        self.grid.set_run(run_from_proto(given.run))

    def message(self, node_id: int, content: RecordDict) -> Message:
        """Return a message of the run's ServerApp; pushing it gives it its ID."""
        TaskIdentity.run_id, TaskIdentity.node_id = self.id, SUPERLINK_NODE_ID
        TaskIdentity.task_id = self.spec.task_id
        return Message(content, dst_node_id=node_id, message_type="train")

    def push(self, message: Message) -> str:
        (message_id,) = self.grid.push_messages([message])
        return message_id

    def pull(self, *message_ids: str) -> list[Message]:
        return list(self.grid.pull_messages(message_ids))

    def end(self) -> None:
        """End the run, as its ServerApp's process does."""
        self.client.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.COMPLETED))

    def close(self) -> None:
        self.grid.close()
        self.client.close()


@contextmanager
def running(superlink: SuperLink) -> Iterator[tuple[Run, Node]]:
    """A run whose ServerApp is running, and a node that is online."""
    with ExitStack() as stack:
        node = Node(superlink)
        stack.callback(node.client.close)
        yield stack.enter_context(closing(Run(superlink))), node
