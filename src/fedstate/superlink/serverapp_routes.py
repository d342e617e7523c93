"""A ServerApp waits for replies, and takes them in the same request."""

import time
from collections import OrderedDict
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from starlette.concurrency import run_in_threadpool

from fedstate.exchange import paths
from fedstate.exchange.messages import BESIDE_BYTES, TakeRepliesRequest, TakeRepliesResponse
from fedstate.exchange.newest import Newest
from fedstate.exchange.routes import SignalsDependency, add_routes, bounded
from fedstate.exchange.signals import NEVER
from fedstate.flower.routing import ProtobufRequest, protobuf_router
from fedstate.flower.task_messages import ServerAppMessages, ServerAppMessagesDependency

# An error in the place of a lost node comes by the SuperLink's clock, unnotified.
_LOOK_SECONDS = 2.0
_MOST_BYTES = 8 * BESIDE_BYTES
_SHORTEST_SECONDS = 0.001
_LONGEST_ROUND_SECONDS = 1e9

router = protobuf_router()


class Answers:
    """Answers with replies that may not have arrived: replies are pulled once.

    A client whose connection has broken repeats its request, with the same number.

    Parameters
    ----------
    most_bytes : int
        How much is kept. Of the oldest answers the objects beside the replies go first: a
        ServerApp pulls those that did not come. If that is not enough the answers go, too, but
        for the last one.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._answers: OrderedDict[tuple[int, int], TakeRepliesResponse] = OrderedDict()
        self._bytes = 0

    def to(self, task_id: int, number: int) -> TakeRepliesResponse | None:
        """Return the answer to a request that is repeated."""
        return self._answers.get((task_id, number))

    def keep(self, task_id: int, number: int, answer: TakeRepliesResponse) -> None:
        """Keep an answer until it is known to have arrived."""
        self._answers[task_id, number] = answer
        self._bytes += answer.ByteSize()
        for each in [*self._answers][:-1]:
            if self._bytes <= self._most_bytes:
                break
            self._leave_out_objects(*each)
        while self._bytes > self._most_bytes and len(self._answers) > 1:
            self.forget(*next(iter(self._answers)))

    def _leave_out_objects(self, task_id: int, number: int) -> None:
        answer = self._answers[task_id, number]
        without = TakeRepliesResponse(pulled=answer.pulled)
        self._answers[task_id, number] = without
        self._bytes += without.ByteSize() - answer.ByteSize()

    def forget(self, task_id: int, number: int) -> None:
        """Keep an answer no longer."""
        if (answer := self._answers.pop((task_id, number), None)) is not None:
            self._bytes -= answer.ByteSize()


class Replies:
    """What the requests of all ServerApps that wait for replies share."""

    def __init__(self) -> None:
        self.newest = Newest()
        self.answers = Answers()


def serve_serverapps(app: FastAPI) -> None:
    """Add the route to our SuperLink."""
    app.state.replies = Replies()
    add_routes(app, {paths.RUNTIME_TAKE: TakeRepliesRequest}, router)


def _replies(request: Request) -> Replies:
    replies: Replies = request.app.state.replies
    return replies


_RepliesDependency = Annotated[Replies, Depends(_replies)]


@router.post(paths.RUNTIME_TAKE)
async def runtime_take_replies(
    request: ProtobufRequest,
    messages: ServerAppMessagesDependency,
    replies: _RepliesDependency,
    signals: SignalsDependency,
) -> TakeRepliesResponse:
    """Wait for replies, and take those that have come."""
    task_id, number, answers = messages.task_id, request.number, replies.answers
    looks = _Looks(request, messages)
    found: TakeRepliesResponse | None = None
    for received in request.received:
        answers.forget(task_id, received)
    with replies.newest.request((task_id, number)) as handing_out:

        async def over() -> bool:
            nonlocal found
            async with handing_out() as is_newest:
                looks.ended = not is_newest
                found = answers.to(task_id, number) if is_newest else None
                if is_newest and found is None and (found := await looks.look()) is not None:
                    answers.keep(task_id, number, found)
            return looks.ended or found is not None

        while not (found or looks.ended or signals.closing()):
            seconds = max(looks.seconds, _SHORTEST_SECONDS)
            await signals.replies.wait(0, seconds, signals.closing, until=NEVER, over=over)
    return found or TakeRepliesResponse()


class _Looks:
    """How one request looks for replies: when, and for how many; `ended` after the last look."""

    def __init__(self, request: TakeRepliesRequest, messages: ServerAppMessages) -> None:
        self._request = request
        self._messages = messages
        self._ids = set(request.message_ids)
        self._began = time.monotonic()
        self._until = self._began + bounded(request.seconds)
        self._look_at = self._began + _LOOK_SECONDS
        self._gathers_until: float | None = None
        self.ended = False

    @property
    def seconds(self) -> float:
        """How long to wait before the next look, if nothing is notified."""
        ends = [self._until, self._look_at]
        if self._gathers_until is not None:
            ends.append(self._gathers_until)
        return min(ends) - time.monotonic()

    async def look(self) -> TakeRepliesResponse | None:
        """Pull the replies if it is time to; return None if there are none."""
        now = time.monotonic()
        self.ended = now >= self._until
        arrived = await run_in_threadpool(self._messages.arrived, self._ids)
        if arrived and self._gathers_until is None:
            request = self._request
            took = bounded(request.sent_ago, _LONGEST_ROUND_SECONDS) + now - self._began
            share = bounded(request.gather_share) * took
            self._gathers_until = now + bounded(request.gather_seconds, share)
        due = self._gathers_until is not None and now >= self._gathers_until
        if not (due or arrived >= len(self._ids) or now >= min(self._look_at, self._until)):
            return None
        self._look_at = now + _LOOK_SECONDS
        return await self._pull()

    async def _pull(self) -> TakeRepliesResponse | None:
        confirmed = self._request.confirmed
        pulled = await run_in_threadpool(self._messages.pull, self._ids, list(confirmed))
        del confirmed[:]
        if pulled is None:
            self.ended = True
            return None
        if not pulled.messages.messages_list:
            return None
        return TakeRepliesResponse(
            pulled=pulled.messages,
            object_ids=pulled.objects.keys(),
            contents=pulled.objects.values(),
        )
