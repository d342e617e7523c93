"""Objects and messages are their run's alone, in every state; and how that is so in memory.

An object is known by its digest, and kept once, whoever sends it. flwr hands one out to whoever
knows its ID, and deletes it for whoever asks for that. Here a run has the objects that were
pushed for it: naming one in a message is not enough, its content has to be pushed.
"""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from flwr.app import Message
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.task_pb2 import Task

# The base of all states, and what is in memory of them: the object store, and the base of both
# states that have one.
from flwr.supercore.corestate import CoreState
from flwr.supercore.corestate.in_memory_corestate import InMemoryCoreState

# One kind of error that flwr answers with a sentence.
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore

__all__ = ["OwnObjectStore", "OwnObjects", "OwnRunHandlers", "RunsApart"]


# No session has this ID: an empty one stands for any.
_NO_SESSION = "none"


def _not_its_own_tree(message_id: str) -> FlowerError:
    """Return the error for a message that comes with the objects of another."""
    return FlowerError(
        ApiErrorCode.INVALID_PROTOBUF_PAYLOAD,
        f"The object tree that comes with message {message_id} is not that message's.",
    )


class OwnObjectStore(InMemoryObjectStore):
    """An object store in memory that knows which runs have an object's content."""

    def preregister(self, run_id: int, object_tree: ObjectTree) -> list[str]:
        """Register the objects of a tree, and return those whose content is still to come.

        That are also those whose content is there for other runs alone.
        """
        with self.lock_store:
            others = {
                each.object_id: None
                for each in iterate_object_tree(object_tree)
                if (entry := self.store.get(each.object_id)) is not None
                and entry.is_available
                and run_id not in entry.runs
            }
            missing = super().preregister(run_id, object_tree)
            for object_id in others:
                self.store[object_id].runs.discard(run_id)
                self.run_objects_mapping[run_id].discard(object_id)
            return [*missing, *others]

    def register(self, run_id: int, object_id: str) -> None:
        """Note that a run has the content of an object."""
        with self.lock_store:
            if (entry := self.store.get(object_id)) is not None:
                entry.runs.add(run_id)
                self.run_objects_mapping.setdefault(run_id, set()).add(object_id)

    def is_of_run(self, run_id: int, object_id: str) -> bool:
        """Return whether an object is registered for a run."""
        with self.lock_store:
            return object_id in self.run_objects_mapping.get(run_id, ())


if TYPE_CHECKING:
    _State = CoreState  # the states whose methods are overridden
    _InMemory = InMemoryCoreState
else:
    _State = _InMemory = object


class RunsApart(_State):
    """The part of a state that keeps the objects of runs apart; it goes before flwr's state."""

    def store_object(
        self, run_id: int, session_id: str, object_id: str, object_content: bytes
    ) -> bool:
        """Store an object for which the session waits; return whether it was stored."""
        session_id = self._session_for(run_id, session_id, object_id)
        # At once: an object that no session waits for is the run's, or it is not there.
        return self._store_own(run_id, session_id, object_id, object_content)

    def store_message_and_object_tree(
        self, message: Message, object_tree: ObjectTree, session_id: str
    ) -> tuple[bool, list[str]]:
        """Store a message and register its objects; return which are still to be pushed.

        Raises
        ------
        FlowerError
            The objects are not those of the message, or a message of another run is among them.
        """
        metadata = message.metadata
        ids = {each.object_id for each in iterate_object_tree(object_tree)}
        ids.add(metadata.reply_to_message_id)
        if object_tree.object_id != metadata.message_id or self._messages_of_others(
            metadata.run_id, ids
        ):
            raise _not_its_own_tree(metadata.message_id)
        return super().store_message_and_object_tree(  # type: ignore[safe-super]  # not the base's
            message, object_tree, session_id
        )

    def get_object(self, run_id: int, object_id: str) -> bytes | None:
        """Return the content of an object of a run; empty if it is still to come."""
        with self._looking():
            if self.is_of_run(run_id, object_id):
                return super().get_object(run_id, object_id)  # type: ignore[safe-super]
            if self._session_awaiting(run_id, object_id) is not None:
                return b""
            # It may have been pushed between both looks.
            if not self.is_of_run(run_id, object_id):
                return None
            return super().get_object(run_id, object_id)  # type: ignore[safe-super]

    def _session_for(self, run_id: int, session_id: str, object_id: str) -> str:
        """Return the session that an object is pushed in.

        A SuperNode of an older release names none; flwr takes any that waits for the object, that
        of another run, too.
        """
        return session_id or self._session_awaiting(run_id, object_id) or _NO_SESSION

    def is_of_run(self, run_id: int, object_id: str) -> bool:
        """Return whether an object is registered for a run."""
        raise NotImplementedError

    def _store_own(self, run_id: int, session_id: str, object_id: str, content: bytes) -> bool:
        """Store an object for which the session waits, and register it for the run."""
        raise NotImplementedError

    def _session_awaiting(self, run_id: int, object_id: str) -> str | None:
        """Return a session of a run that waits for an object; None if none does."""
        raise NotImplementedError

    def _messages_of_others(self, run_id: int, object_ids: Collection[str]) -> bool:
        """Return whether a message of another run is among objects."""
        raise NotImplementedError

    def _looking(self) -> AbstractContextManager[object]:
        """Return a block in which nothing is stored, if the state has such."""
        return nullcontext()


class OwnObjects(RunsApart, _InMemory):
    """The objects of runs, apart, in a state in memory."""

    object_store: OwnObjectStore

    def is_of_run(self, run_id: int, object_id: str) -> bool:
        """Return whether an object is registered for a run."""
        return self.object_store.is_of_run(run_id, object_id)

    def _store_own(self, run_id: int, session_id: str, object_id: str, content: bytes) -> bool:
        with self._lock_object_push_sessions:
            stored = super(RunsApart, self).store_object(run_id, session_id, object_id, content)
            if stored:
                self.object_store.register(run_id, object_id)
        return stored

    def _session_awaiting(self, run_id: int, object_id: str) -> str | None:
        with self._lock_object_push_sessions:
            for session_id, each in self._object_push_sessions.items():
                if each.run_id == run_id and object_id in each.pending_object_ids:
                    return session_id
        return None

    def _messages_of_others(self, run_id: int, object_ids: Collection[str]) -> bool:
        return any(self.run_of_message(each) not in (None, run_id) for each in object_ids)

    def _looking(self) -> AbstractContextManager[object]:
        return self._lock_object_push_sessions

    def run_of_message(self, message_id: str) -> int | None:
        """Return the run of a message that is kept; None if it is not."""
        raise NotImplementedError


class OwnRunHandlers:
    """flwr's handlers of the Runtime API; a task confirms the messages of its own run alone.

    Parameters
    ----------
    handlers
        flwr's.
    """

    def __init__(self, handlers: Any) -> None:
        self._handlers = handlers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handlers, name)

    def confirm_message_received(
        self, request: ConfirmMessageReceivedRequest, state: Any, task: Task
    ) -> Any:
        """Delete the objects of a message that a task has received."""
        object_id = request.message_object_id
        if not state.is_of_run(task.run_id, object_id) and object_id in state.object_store:
            raise not_its_own(object_id)
        confirm: Callable[..., Any] = self._handlers.confirm_message_received
        return confirm(request, state, task)


def not_its_own(message_id: str) -> HTTPException:
    """Return the error for a message that is not the caller's to confirm."""
    return HTTPException(403, f"Message {message_id} is not one of the caller's.")
