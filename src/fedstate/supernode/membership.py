"""A node's session at the SuperLink: join, stay, leave.

flwr's `http_request_response` does the same in one closure, with a heartbeat of 30 seconds that
cannot be set, and it ends the process when the SuperLink refuses the node. Here the node comes
back within seconds after a crash, and tries until told otherwise.

The thread ``heartbeat`` keeps the node online; `join`, `rejoin` and `leave` are for the thread
that pulls messages. A lock keeps heartbeats away while the node is meant to be offline.
"""

import itertools
import math
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from fedstate.errors import FederationError
from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi
from fedstate.flower.errors import RefusedError, SuperLinkError, UnreachableError
from fedstate.logs import logger
from fedstate.store.clock import since_boot
from fedstate.supernode.session import SessionFile
from fedstate.waiting import wait_until

# Where the requests that wait for messages are heartbeats, a heartbeat of its own is sent when
# none of them was answered for so many times as long.
_OTHERS = 1.75


@dataclass(frozen=True)
class Patience:
    """How long to try to connect; flwr's `--max-retries` and `--max-wait-time`."""

    max_retries: int | None = None
    max_seconds: float | None = None


@dataclass(frozen=True)
class Timing:
    """How long a membership waits, in seconds.

    Attributes
    ----------
    heartbeat : float
        The longest pause between two heartbeats. There are four within the SuperLink's
        patience: three may be lost. Other requests that are heartbeats come as often.
    away : float
        How long the node stays offline in `rejoin`. It is longer than the 3 s between two looks
        of Flower's Grid: every ServerApp that waits for this node sees that it was away, and
        that the message it waits for may be lost.
    first_retry, retry : float
        The first and the longest pause between two tries to connect.
    told : float
        For how long another request need not say again that the node is online.
    """

    heartbeat: float = PATIENCE_SECONDS / 4
    away: float = 5.0
    first_retry: float = 0.5
    retry: float = 5.0
    told: float = 2.0

    def pauses(self) -> Iterator[float]:
        """Yield the pauses between tries to connect, each twice as long as the last."""
        for doublings in itertools.count():
            yield min(self.first_retry * 2 ** min(doublings, 32), self.retry)


class Membership:
    """One node's session at a SuperLink.

    Parameters
    ----------
    api : FleetApi
        The SuperLink's Fleet API, whose calls are signed with the node's key.
    session : SessionFile
        Where the session is noted.
    register : bool
        Whether the node registers itself: a SuperLink without node authentication wants that.
    patience : Patience
        How long to try to connect.
    timing : Timing
        How long to wait for what.

    Attributes
    ----------
    refused_is_final : bool
        Whether a SuperLink that does not admit the node is not asked again.
    """

    def __init__(
        self,
        api: FleetApi,
        session: SessionFile,
        *,
        register: bool,
        patience: Patience = Patience(),  # it is frozen
        timing: Timing = Timing(),
    ) -> None:
        self._api = api
        self._session = session
        self._register = register
        self.refused_is_final = False
        self._patience = patience
        self._timing = timing
        self._left = threading.Event()
        # When the SuperLink was last told that the node is online, and when it is to be told
        # again by a heartbeat; and whether other requests tell it, too.
        self._told_at, self._due_at, self._others = -math.inf, 0.0, False
        self._put_off()
        # Held for each heartbeat, and while the node is meant to be offline: a heartbeat would
        # bring it back, and the SuperLink would then refuse to admit it.
        self._beating = threading.Lock()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    @property
    def node_id(self) -> int:
        """The node's ID at the SuperLink."""
        return self._api.node_id

    def join(self) -> None:
        """Connect: go on with the session that was left, or begin one.

        Raises
        ------
        FederationError
            The SuperLink could not be reached or refused the node for longer than the patience.
        """
        left = self._session.previous()
        if left is None:
            self._activate()
        else:
            self._api.node_id = left.node_id
            if left.pulling:
                logger.info("The last SuperNode ended while it pulled a message.")
                self.rejoin()
            elif self._heartbeat():
                logger.info("Going on with the session of the last SuperNode.")
            else:
                self._activate()
        self._heart.start()

    def rejoin(self) -> None:
        """Be offline for as long as every ServerApp needs to see it, then connect again.

        Raises
        ------
        FederationError
            As `join` does.
        """
        with self._beating:
            # Where the SuperLink cannot be told, the session lapses by itself.
            wait_until(
                self._leave,
                PATIENCE_SECONDS,
                poll_seconds=self._timing.first_retry,
                sleep=self._left.wait,
            )
            self._left.wait(self._timing.away)
            self._activate()

    def pulling(self, *, active: bool) -> None:
        """Note that a message may be on its way to this node, or that none is."""
        self._session.pulling(active=active)

    @property
    def wants_heartbeat(self) -> bool:
        """Whether a request that can say so should say that the node is online."""
        return since_boot() - self._told_at >= self._timing.told

    def answered(self, since: float, *, known: bool) -> None:
        """Note the answer to a heartbeat that was sent so many seconds after the boot."""
        self._others = True
        self._put_off()
        self._note(since, known=known)

    def _note(self, since: float, *, known: bool) -> None:
        if known:
            self._told_at = since
            self._session.alive(self.node_id, since)
        else:
            logger.warning("The SuperLink does not know this node any more.")

    def _put_off(self) -> None:
        """Put the next heartbeat off, by more where other requests come before it."""
        factor = random.uniform(0.8, 1.0) * (_OTHERS if self._others else 1.0)  # noqa: S311
        self._due_at = time.monotonic() + factor * self._timing.heartbeat

    def leave(self, *, for_good: bool) -> None:
        """Stop. For good: end the session, so that any SuperNode is admitted at once.

        Otherwise the session is left for the next SuperNode to go on with: one that comes within
        the patience finds its steps, and no ServerApp has seen it away.
        """
        self._left.set()
        if self._heart.is_alive():
            self._heart.join(timeout=1)
        if self.node_id and for_good:
            self._leave()
        self._api.close()

    def _leave(self) -> bool:
        try:
            self._api.deactivate()
        except RefusedError:
            # It counts as offline already.
            pass
        except UnreachableError as error:
            if not error.said:
                logger.warning("%s", error)
            return False
        self._session.end()
        return True

    def _activate(self) -> None:
        started = time.monotonic()
        for tries, pause in enumerate(self._timing.pauses(), start=1):
            since = since_boot()
            try:
                if self._register:
                    self._api.register()
                node_id = self._api.activate()
            except SuperLinkError as error:
                if isinstance(error, RefusedError):
                    if self.refused_is_final:
                        raise
                    if self.node_id and self._api.has_next_key and self._heartbeat():
                        return
                reason, said = str(error), error.said
            else:
                self._session.alive(node_id, since)
                return
            waited = time.monotonic() - started
            if self._out_of_patience(tries, waited):
                raise FederationError(
                    f"The SuperNode could not connect to the SuperLink, tried {tries} times in "
                    f"{waited:.0f} s. {reason}"
                )
            if not said:
                logger.warning("%s Trying again.", reason)
            if self._left.wait(pause):
                raise FederationError("The SuperNode was stopped before it was connected.")

    def _out_of_patience(self, tries: int, waited: float) -> bool:
        retries, seconds = self._patience.max_retries, self._patience.max_seconds
        return (retries is not None and tries > retries) or (
            seconds is not None and waited > seconds
        )

    def _beat(self) -> None:
        while not self._left.wait(self._until_heartbeat()):
            with self._beating:
                # A request that is one may have been answered meanwhile.
                if self._until_heartbeat() <= 0:
                    self._heartbeat()

    def _until_heartbeat(self) -> float:
        """Return how many seconds are left until the next heartbeat."""
        return max(self._due_at - time.monotonic(), 0.0)

    def _heartbeat(self) -> bool:
        since = since_boot()
        try:
            known = self._api.heartbeat()
        except SuperLinkError as error:
            if not error.said:
                logger.warning("The heartbeat was not answered. %s", error)
            return False
        finally:
            self._put_off()
        self._note(since, known=known)
        return known
