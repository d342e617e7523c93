"""Waiting for a message and taking it in one request, which is a heartbeat, too.

Nothing is lost when such a request breaks, or the SuperNode or the SuperLink is killed: the
node's next request says that an answer may not have arrived, and which messages the node has.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from starlette.concurrency import run_in_threadpool

from fedstate.exchange import paths
from fedstate.exchange.messages import TakeRequest, TakeResponse
from fedstate.exchange.newest import Newest
from fedstate.exchange.routes import SignalsDependency, add_routes, bounded
from fedstate.exchange.signals import NEVER
from fedstate.flower.hand_outs import HandedOut, HandOutsDependency
from fedstate.flower.routing import ProtobufRequest, protobuf_router
from fedstate.superlink.evidence_routes import LogRequestsDependency
from fedstate.superlink.log_requests import LogRequests

# Whether there are messages is asked again after this time though nothing was notified.
_AGAIN_SECONDS = 10.0
# More than any node needs; flwr multiplies it.
_LONGEST_INTERVAL = 3600.0

router = protobuf_router()


class Pending:
    """Which nodes have messages, asked once for all of them whenever there may be another.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[int, int] = {}
        self._version = 0
        self._asked = 0.0
        self._forgotten = 0
        # Many requests are woken at once: the first asks, and the others know then.
        self._asking = asyncio.Lock()

    async def counts(self, version: int, ask: Callable[[], Mapping[int, int]]) -> dict[int, int]:
        """Return how many messages each node has; whoever takes one counts it off there.

        Parameters
        ----------
        version : int
            Another one, not 0, whenever a node may have got a message.
        ask : callable
            Returns how many messages each node has; on a thread, since it may take long.
        """
        if self._is_old(version):
            async with self._asking:
                if self._is_old(version):
                    now, forgotten = self._clock(), self._forgotten
                    self._counts = dict(await run_in_threadpool(ask))
                    # What was forgotten meanwhile may have changed after it was read.
                    self._version = version if forgotten == self._forgotten else 0
                    self._asked = now
        return self._counts

    def _is_old(self, version: int) -> bool:
        return version > self._version or self._clock() - self._asked >= _AGAIN_SECONDS

    def forget(self) -> None:
        """Ask again at the next occasion."""
        self._version = 0
        self._forgotten += 1


class Taking:
    """What the requests of all nodes that take messages share."""

    def __init__(self) -> None:
        self.newest = Newest()
        self.pending = Pending()


def serve_taking(app: FastAPI) -> None:
    """Add the route to our SuperLink."""
    app.state.taking = Taking()
    add_routes(app, {paths.FLEET_TAKE: TakeRequest}, router)


def _taking(request: Request) -> Taking:
    taking: Taking = request.app.state.taking
    return taking


_TakingDependency = Annotated[Taking, Depends(_taking)]


@router.post(paths.FLEET_TAKE)
async def fleet_take_message(
    request: ProtobufRequest,
    hand_outs: HandOutsDependency,
    taking: _TakingDependency,
    signals: SignalsDependency,
    log_requests: LogRequestsDependency,
) -> TakeResponse:
    """Wait for a message, as a SuperNode, and take it; the answer may ask for its log, too."""
    node_id, response = request.node.node_id, TakeResponse()
    have = set(request.have) if request.again else None
    asks_for_log: LogRequests | None = log_requests if request.answers_log_requests else None
    pending, messages, ends = taking.pending, signals.messages, signals.ends
    response.known = not request.heartbeat_interval or await run_in_threadpool(
        hand_outs.beat, bounded(request.heartbeat_interval, _LONGEST_INTERVAL)
    )

    with taking.newest.request(node_id) as handing_out:

        async def take() -> HandedOut | None:
            nonlocal have
            if have is not None:
                await run_in_threadpool(hand_outs.take_back, have)
                have = None
                pending.forget()
            counts = await pending.counts(messages.count, hand_outs.pending)
            if not (left := counts.get(node_id, 0)):
                return None
            handed_out = await run_in_threadpool(hand_outs.hand_out)
            counts[node_id] = left - 1 if handed_out else 0
            return handed_out

        async def over() -> bool:
            async with handing_out() as is_newest:
                if not is_newest:
                    return True
                if (handed_out := await take()) is not None:
                    response.pulled.CopyFrom(handed_out.pulled)
                    response.object_ids.extend(handed_out.objects.keys())
                    response.contents.extend(handed_out.objects.values())
            if ends is not None:
                response.ends = ends.count
                _, runs = await ends.among([], request.run_ids)
                response.ended_run_ids[:] = runs
            if asks_for_log is not None and not response.log_requests:
                response.log_requests.extend(asks_for_log.due(node_id))
            return bool(handed_out or response.ended_run_ids or response.log_requests)

        seconds = bounded(request.seconds)
        await messages.wait(0, max(seconds, 0.001), signals.closing, until=NEVER, over=over)
    return response
