"""Our SuperNode in this process: its Runtime API alone, or all of it beside a SuperLink."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Context, Error, Message, RecordDict
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.main import create_app
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor
from flwr.supernode.runtime.run_clientapp import push_message
from tests.contract.flower.in_process import Server, SuperLink
from tests.waiting import wait_until

from fedstate.exchange.routes import runtime_router, serve
from fedstate.exchange.signals import Signals
from fedstate.flower.clients import FleetClient
from fedstate.flower.nodestate import DurableNodeState, DurableNodeStateFactory
from fedstate.flower.task_client import TaskClient, failed, output_of, pull_input
from fedstate.large.middleware import LargeContexts
from fedstate.store.node_store import NodeStore
from fedstate.supernode.admission import Admission
from fedstate.supernode.link import PATIENCE_SECONDS, Fleet, Patience
from fedstate.supernode.runtime_handlers import DurableHandlers
from fedstate.supernode.session import SessionFile
from fedstate.supernode.steps import Steps

NODE_ID = 7


class SuperNode(Server):
    """The Runtime API that our SuperNode serves, over a node store."""

    def __init__(self, directory: Path) -> None:
        self.store = NodeStore(directory)
        self.state: Any = DurableNodeState(ObjectStoreFactory().store(), self.store)
        self.state.set_node_id(NODE_ID)
        self.app = create_app(DurableNodeStateFactory(self.state))
        self.signals = Signals()
        serve(self.app, self.signals, runtime_router)
        super().__init__(LargeContexts(self.app), "supernode:1")

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        self.store.close()

    def add_run(self, run_id: int, fab: bytes = b"content") -> None:
        """Store what is stored when a run is new to the node."""
        digest = hashlib.sha256(fab).hexdigest()
        run = replace(
            Run.create_empty(run_id),
            fab_id="fedstate/probe",
            fab_version="1.0.0",
            fab_hash=digest,
            series_id=run_id,
        )
        context = Context(run_id, NODE_ID, {}, RecordDict(), {}, series_id=run_id)
        self.state.add_run(run, Fab(digest, fab, {}), context)

    def give(self, run_id: int, message: Message) -> int:
        """Store a message and its objects, and create its task, as `Steps` does."""
        with no_object_id_recompute():
            objects = {
                key: each.deflate() for key, each in get_all_nested_objects(message).items()
            }
            self.state.object_store.preregister(run_id, get_object_tree(message))
        for object_id, content in objects.items():
            self.state.object_store.put(object_id, content)
        self.state.store_message(message)
        task_id = self.state.create_task(
            TaskType.CLIENT_APP, run_id, fab_hash=self.state.get_run(run_id).fab_hash
        )
        assert task_id is not None
        return int(task_id)


def message_to(node_id: int, run_id: int, content: RecordDict) -> Message:
    """Return a message as a SuperNode has it: with its ID."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run_id, 1, 1
    message = Message(content, dst_node_id=node_id, message_type="train")
    message.metadata.__dict__["_message_id"] = message.object_id
    return message


@dataclass
class ClientAppTask:
    """What the process of a ClientApp does with its task."""

    client: TaskClient
    message: Message
    context: Context

    def reply(self, content: RecordDict | Error) -> Message:
        """Push a reply; return it."""
        reply = Message(content, reply_to=self.message)
        push_message(self.client, reply, self.context)
        return reply

    def complete(self) -> None:
        self.client.push_output(output_of(self.context))

    def fail(self, reason: str) -> None:
        self.client.PushTaskOutput(failed(reason))


@contextmanager
def clientapp(server: Server) -> Iterator[ClientAppTask]:
    """Acquire the next ClientApp task, and pull what it works on."""
    spec = wait_until(lambda: server.acquire(TaskType.CLIENT_APP))
    assert spec is not None
    with server.task_client(spec) as client:
        message, context, _, _ = pull_input(client)
        yield ClientAppTask(client, message, context)


class SteppingNode(SuperNode):
    """Our SuperNode as a whole, without its threads for maintenance and for pulling."""

    def __init__(self, directory: Path, superlink: SuperLink) -> None:
        super().__init__(directory)
        key = ec.generate_private_key(ec.SECP384R1())
        self.link = Fleet(
            superlink.reach(
                FleetClient.from_server_address(
                    superlink.address,
                    True,
                    None,
                    interceptors=[
                        RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                        NodeAuthHttpInterceptor(key, key.public_key()),
                    ],
                )
            ),
            public_key_to_bytes(key.public_key()),
            SessionFile(directory / "session", PATIENCE_SECONDS),
            register=True,
            patience=Patience(),
        )
        self.steps = Steps(
            self.state,
            self.link,
            admission=Admission(self.state, self.link, {}, lambda _: None),
            concurrency=4,
            on_change=lambda: None,
        )
        self.app.state.runtime_handlers = DurableHandlers(self.steps)

    def __enter__(self) -> Self:
        super().__enter__()
        self.link.join()
        self.state.set_node_id(self.link.node_id)
        return self

    def __exit__(self, *details: object) -> None:
        self.steps.close()
        self.link.leave(for_good=True)
        super().__exit__(*details)

    @property
    def node_id(self) -> int:
        return self.link.node_id

    def receive(self) -> bool:
        """Pull a message, if there is one, and start its step."""
        return self.link.receive(self.steps.receive)

    def idle(self) -> None:
        """Wait until every step is over; fail if one ended the SuperNode."""
        wait_until(lambda: not self.steps.under_way or self.steps.failure)
        assert self.steps.failure is None

    def state_of(self, series_ids: Sequence[int]) -> list[RecordDict]:
        """Return the committed states of run series."""
        return [self.state.get_run_series_context(each).state for each in series_ids]
