"""Our SuperNode in this process: its Runtime API alone, or all of it beside a SuperLink."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from fastapi import FastAPI
from flwr.app import Context, Error, Message, RecordDict
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.main import create_app
from tests.contract.flower.in_process import Server, SuperLink
from tests.superlink_application import key_pair
from tests.waiting import wait_until

from fedstate.exchange.routes import runtime_router, serve
from fedstate.exchange.signals import Signals
from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi
from fedstate.flower.nodestate import DurableNodeStateFactory, durable_node_state
from fedstate.flower.own_key import OwnKey
from fedstate.flower.runtime_app import runtime_app
from fedstate.flower.task_client import TaskClient, output_of
from fedstate.flower.task_order import TaskKind
from fedstate.large.middleware import LargeContexts
from fedstate.store.node_store import NodeStore
from fedstate.supernode.admission import Admission
from fedstate.supernode.link import Link
from fedstate.supernode.membership import Membership
from fedstate.supernode.runtime_handlers import StepHandlers
from fedstate.supernode.session import SessionFile
from fedstate.supernode.steps import Steps

NODE_ID = 7


class SuperNode(Server):
    """The Runtime API that our SuperNode serves, over a node store."""

    def __init__(self, directory: Path) -> None:
        self.store = NodeStore(directory)
        self.state: Any = durable_node_state(self.store)
        self.state.set_node_id(NODE_ID)
        self.app = self.application()
        self.signals = Signals()
        serve(self.app, self.signals, runtime_router)
        super().__init__(LargeContexts(self.app), "supernode:1")

    def application(self) -> FastAPI:
        """Return the Runtime API with flwr's own handlers."""
        return create_app(DurableNodeStateFactory(self.state))

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
            self.state.object_store.register(run_id, object_id)
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
        self.client.push_reply(reply, self.context)
        return reply

    def complete(self) -> None:
        self.client.push_output(output_of(self.context))

    def fail(self, reason: str) -> None:
        self.client.push_failure(reason)


@contextmanager
def clientapp(server: Server) -> Iterator[ClientAppTask]:
    """Acquire the next ClientApp task, and pull what it works on."""
    order = wait_until(lambda: server.acquire(TaskKind.CLIENT_APP))
    assert order is not None
    with server.task_client(order) as client:
        given = client.pull_input()
        yield ClientAppTask(client, given.message, given.context)


class SteppingNode(SuperNode):
    """Our SuperNode as a whole, without its threads for maintenance and for pulling."""

    def __init__(self, directory: Path, superlink: SuperLink, keys: Any | None = None) -> None:
        self.superlink = superlink
        self.keys = keys or key_pair()
        self.directory = directory
        super().__init__(directory)

    def application(self) -> FastAPI:
        """Return the Runtime API with our handlers, which lead to the steps."""
        api = FleetApi(
            self.superlink.address,
            OwnKey(self.keys),
            insecure=True,
            transport=self.superlink.transport,
        )
        self.session = SessionFile(self.directory / "session", PATIENCE_SECONDS)
        self.membership = Membership(api, self.session, register=True)
        self.link = Link(api, self.membership, OwnKey(self.keys))
        self.steps = Steps(
            self.state,
            self.link,
            admission=Admission(self.state, self.link, {}, lambda _: None),
            concurrency=4,
            on_change=lambda: None,
        )
        return runtime_app(self.state, StepHandlers(self.steps), None)

    def __enter__(self) -> Self:
        super().__enter__()
        ends = self.signals.tell_ends(self.state.ended_tasks, self.steps.runs.not_going)
        self.steps.on_end = ends.notify
        self.membership.join()
        self.state.set_node_id(self.node_id)
        return self

    def __exit__(self, *details: object) -> None:
        self.steps.close()
        self.membership.leave(for_good=True)
        self.session.close()
        super().__exit__(*details)

    @property
    def node_id(self) -> int:
        return self.membership.node_id

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
