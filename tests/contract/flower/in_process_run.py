"""A node and a run at a SuperLink in this process, each calling what flwr's own calls."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.constant import SUPERLINK_NODE_ID, SubStatus
from flwr.common.serde import fab_to_proto, message_to_proto, run_from_proto
from flwr.proto.control_pb2 import StartRunRequest
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
    PullTaskInputRequest,
    PushTaskOutputRequest,
)
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.task_identity import TaskIdentity
from tests.contract.flower.in_process import HEARTBEAT_SECONDS, SuperLink, counting_fab

from fedstate.flower.grid import BatchingGrid
from fedstate.flower.task_order import TaskKind


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

    def has_nothing_to_pull(self) -> None:
        """Fail if the SuperLink hands out a message."""
        handed_out = len(self.pull().messages_list)
        assert not handed_out, "a message is handed out that should not be pending"

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
    """A run of an app, and the Grid of its ServerApp; not yet `started`, only its task."""

    def __init__(
        self, superlink: SuperLink, fab: bytes | None = None, *, started: bool = True
    ) -> None:
        control = superlink.control()
        fab = counting_fab() if fab is None else fab
        request = StartRunRequest(fab=fab_to_proto(Fab(hashlib.sha256(fab).hexdigest(), fab, {})))
        self.id = int(control._client.StartRun(request).run_id)
        order = superlink.acquire(TaskKind.SERVER_APP)
        assert order is not None, "the run has a task for an executor of ServerApps"
        self.order = order
        self.client = superlink.task_client(order)
        if not started:
            return
        given = self.client.PullTaskInput(PullTaskInputRequest())
        assert given.run.run_id == self.id
        self.grid = BatchingGrid(superlink.address, insecure=True, token=order.token)
        self.grid._connect()
        superlink.reach(self.grid._runtime_client)
        self.grid.set_run(run_from_proto(given.run))

    def message(self, node_id: int, content: RecordDict) -> Message:
        """Return a message of the run's ServerApp; pushing it gives it its ID."""
        TaskIdentity.run_id, TaskIdentity.node_id = self.id, SUPERLINK_NODE_ID
        TaskIdentity.task_id = self.order.task_id
        return Message(content, dst_node_id=node_id, message_type="train")

    def push(self, message: Message) -> str:
        (message_id,) = self.grid.push_messages([message])
        return message_id

    def pull(self, *message_ids: str) -> list[Message]:
        return list(self.grid.pull_messages(message_ids))

    def reply(self, message_id: str) -> Message:
        """Return the reply to a message, which must have arrived."""
        replies = self.pull(message_id)
        assert len(replies) == 1, f"the SuperLink hands out {len(replies)} replies, not 1"
        return replies[0]

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
