"""A client of our own routes, at servers that have them and at those that do not."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from fedstate.exchange.messages import (
    BATCH_BYTES,
    LogRequest,
    PullObjectsRequest,
    PushObjectsRequest,
    PushObjectsResponse,
    WaitRequest,
    WaitResponse,
)
from fedstate.exchange.pulled import PulledObject, pulled_objects
from fedstate.flower.messages import Node
from fedstate.flower.protobuf_call import (
    ProtobufClient,
    call_route,
    parsed,
    send_pieces,
    unless_missing,
    whole,
)
from fedstate.large.wire import Buffer, head_of, size_of

Answer = TypeVar("Answer")
# A content in pieces, which nobody need join.
Pieces = Sequence[Buffer]

_CONTENTS = PushObjectsRequest.DESCRIPTOR.fields_by_name["contents"].number
# How much longer than a wait a client waits for the answer.
ANSWER_SECONDS = 10.0
# How long a server is to wait for objects that are still to come.
PULL_SECONDS = 5.0


@dataclass(frozen=True)
class Waited:
    """What a server tells whoever has waited.

    Attributes
    ----------
    count : int
        The count that was waited for.
    ended_tasks, ended_runs : tuple of int
        Those of the named tasks and runs that have ended; of the tasks only those whose process
        has not said so itself.
    ends : int
        A count of what has ended; 0 from a server that does not tell what has.
    log_requests : tuple of LogRequest
        What is asked of a SuperNode's log.
    tells_all_tasks : bool
        Whether each task is notified of, so that an executor need not ask for others.
    """

    count: int
    ended_tasks: tuple[int, ...] = ()
    ended_runs: tuple[int, ...] = ()
    ends: int = 0
    log_requests: tuple[LogRequest, ...] = ()
    tells_all_tasks: bool = False


class ExtraRoutes:
    """Our own routes at one server; one that the server does not have is requested once.

    Parameters
    ----------
    client : ProtobufClient
        A client of flwr's, whose connection, authentication and retries are used.
    """

    def __init__(self, client: ProtobufClient) -> None:
        self._client = client
        self._missing: set[str] = set()

    def lacks(self, path: str) -> bool:
        """Whether the server has answered that it has no such route."""
        return path in self._missing

    def forget(self) -> None:
        """Request missing routes again: another server may answer now."""
        self._missing.clear()

    def call(
        self,
        path: str,
        request: Any,
        response_type: Any,
        *,
        method: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Return the server's response, or None if the server does not have the route."""
        name = method or call_name(path)
        return self._asked(
            path,
            lambda: call_route(self._client, path, name, request, response_type, timeout),
        )

    def pull(
        self, path: str, node: Node, run_id: int, object_ids: Iterable[str]
    ) -> dict[str, PulledObject]:
        """Return the objects that can be pulled in batches.

        Objects that are large or gone, or for which the server has waited in vain, are not among
        them; at a server without this route none is. They are to be pulled one by one.
        """
        found: dict[str, PulledObject] = {}
        left = list(object_ids)
        while left:
            some, left = self.pull_first(path, node, run_id, left)
            found |= some
        return found

    def pull_first(
        self, path: str, node: Node, run_id: int, object_ids: Sequence[str]
    ) -> tuple[dict[str, PulledObject], list[str]]:
        """Return those of the first of these objects that can be pulled in one batch.

        Returns
        -------
        tuple of dict and list
            The objects as `pull` returns them, and which others are to be asked for like this.
            Those that are still to come are among them if others have come.
        """
        request = PullObjectsRequest(
            node=node, run_id=run_id, object_ids=object_ids, seconds=PULL_SECONDS
        )
        objects = self._send(path, request, pulled_objects)
        answered = dict(zip(object_ids, objects or (), strict=False))
        if not answered:
            return {}, []
        found = {key: each for key, each in answered.items() if each.object_available}
        left = [key for key in object_ids if key not in answered]
        if found:
            to_come = (key for key, each in answered.items() if each.object_found)
            left += [key for key in to_come if key not in found]
        return found, left

    def push(
        self, path: str, node: Node, run_id: int, session_id: str, objects: Mapping[str, Pieces]
    ) -> list[bool] | None:
        """Store objects; return for each whether it was, or None without such a route."""
        request = PushObjectsRequest(
            node=node, run_id=run_id, session_id=session_id, object_ids=list(objects)
        )
        contents = [
            piece
            for pieces in objects.values()
            for piece in (head_of(_CONTENTS, size_of(pieces)), *pieces)
        ]
        return self._send(path, request, _stored, contents)

    def _send(
        self,
        path: str,
        request: Any,
        take: Callable[[Iterator[bytes]], Answer],
        beside: Pieces = (),
    ) -> Answer | None:
        """Return the answer to a request with what is to go beside it, as `call` does."""
        pieces = [request.SerializeToString(), *beside]
        send = partial(send_pieces, self._client, path, call_name(path), request, pieces, take)
        return self._asked(path, lambda: unless_missing(send))

    def _asked(self, path: str, ask: Callable[[], Answer | None]) -> Answer | None:
        """Return an answer; None from a route that the server is known to lack, or does."""
        if path in self._missing:
            return None
        answer = ask()
        if answer is None:
            self._missing.add(path)
        return answer

    def wait(
        self,
        path: str,
        node: Node,
        seen: int,
        seconds: float,
        *,
        method: str | None = None,
        until: int = 0,
        task_ids: Sequence[int] = (),
        run_ids: Sequence[int] = (),
        ends: int = 0,
        answers_log_requests: bool = False,
    ) -> Waited | None:
        """Wait until a count is not `seen`, or, if given, has reached `until`.

        The wait ends also when one of the named tasks and runs has ended, and, if `ends` is
        given, when that count has changed.

        Returns
        -------
        Waited or None
            What the server has told; None if it does not have the route, and has not waited.
        """
        request = WaitRequest(
            node=node,
            seen=seen,
            seconds=seconds,
            until=until,
            task_ids=task_ids,
            run_ids=run_ids,
            ends=ends,
            answers_log_requests=answers_log_requests,
        )
        timeout = seconds + ANSWER_SECONDS
        answer = self.call(path, request, WaitResponse, method=method, timeout=timeout)
        if answer is None:
            return None
        return Waited(
            answer.count,
            tuple(answer.ended_task_ids),
            tuple(answer.ended_run_ids),
            answer.ends,
            tuple(answer.log_requests),
            answer.tells_all_tasks,
        )


def _stored(parts: Iterable[bytes]) -> list[bool]:
    return list(parsed(PushObjectsResponse, bytes(whole(parts))).stored)


def call_name(path: str) -> str:
    """Return the name of the call of a route, as a client's interceptors are told it."""
    return f"/fedstate{path}"


def batches(objects: Iterable[tuple[str, Pieces]]) -> Iterator[dict[str, Pieces]]:
    """Yield objects in batches for `ExtraRoutes.push`, without those too large for a batch."""
    batch: dict[str, Pieces] = {}
    size = 0
    for key, content in objects:
        nbytes = size_of(content)
        if nbytes >= BATCH_BYTES:
            continue
        if size + nbytes > BATCH_BYTES:
            yield batch
            batch, size = {}, 0
        batch[key] = content
        size += nbytes
    if batch:
        yield batch
