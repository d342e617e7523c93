"""What a SuperNode's steps need of the SuperLink: runs, messages, and where replies go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fedstate.failpoints import reach
from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi, Objects
from fedstate.flower.errors import (
    KeyReplacedError,
    RefusedError,
    RunStatus,
    SuperLinkError,
    UnreachableError,
)
from fedstate.flower.log_pages import LogPage, LogRequest
from fedstate.flower.own_key import OwnKey
from fedstate.flower.runs import Fab, Run
from fedstate.flower.stored_values import Envelope
from fedstate.logs import logger
from fedstate.store.clock import since_boot
from fedstate.supernode.brought import Brought
from fedstate.supernode.membership import Membership
from fedstate.supernode.replies import Replies
from fedstate.witness.receipts import Receipt, is_signed_by, sign

# A message that the SuperLink sends again causes no notification: it is polled for this often.
WAIT_SECONDS = 3.0
# A wait that brings its message is a heartbeat: there are four within the SuperLink's patience.
TAKE_SECONDS = PATIENCE_SECONDS / 4


class Link:
    """The runs and messages of one node at a SuperLink.

    Every method raises errors of `fedstate.flower.errors` and no others of the connection:
    `UnreachableError`, `RefusedError` (`UnauthorizedError` if the node's key is not accepted),
    and where it is for a run, `RunEndedError`.

    Parameters
    ----------
    api : FleetApi
        The SuperLink's Fleet API.
    membership : Membership
        The node's session there.
    own_key : OwnKey, optional
        The node's key, which signs receipts; without it they are not signed.
    take_seconds : float
        How long `take` waits at most.

    Attributes
    ----------
    have : callable
        Returns the IDs of the messages that are here and of which no reply has been sent yet.
    tells_ends : bool
        Whether the SuperLink says which runs have ended to who waits for messages.
    on_log_requests : callable
        Is called with what is asked of the node's log, by the thread that waits for messages.
    """

    def __init__(
        self,
        api: FleetApi,
        membership: Membership,
        own_key: OwnKey | None = None,
        *,
        take_seconds: float = TAKE_SECONDS,
    ) -> None:
        self._api = api
        self._own_key = own_key
        self.on_log_requests: Callable[[list[LogRequest]], None] = lambda _: None
        self._membership = membership
        self._replies = Replies(api)
        self._take_seconds = take_seconds
        self._brought = Brought()
        self._seen = 0
        self.tells_ends = False
        self.have: Callable[[], Sequence[str]] = list
        # Whether a message may be on its way that is not in the store: that of the last
        # SuperNode, too. And whether a request of this one has failed since the last answer.
        self._unsure, self._failed = True, False

    def take(
        self, store: Callable[[Envelope], None], run_ids: Sequence[int] = ()
    ) -> tuple[int, ...] | None:
        """Wait until there is a message, and store it, or until one of the runs has ended.

        A message that did not arrive, because the connection broke on its way or the SuperNode
        was killed, is handed out again by the next call: it says what the store has.

        Returns
        -------
        tuple of int or None
            The runs that have ended; None if the SuperLink has no such route.
        """
        have = self.have() if self._unsure else None
        unsure, self._unsure = self._unsure, True
        beats, since = self._membership.wants_heartbeat, since_boot()
        try:
            taken = self._api.take_message(self._take_seconds, run_ids, have=have, beats=beats)
        except SuperLinkError as error:
            self.tells_ends = False
            if isinstance(error, UnreachableError) and not error.sent:
                self._unsure = unsure
            else:
                self._failed = True
            raise
        if taken is None:
            self._rejoin_if_failed()
            return None
        self._failed = False
        if beats:
            self._membership.answered(since, known=taken.known)
        self.tells_ends = taken.tells_ends
        if taken.log_requests:
            self.on_log_requests([LogRequest.from_proto(each) for each in taken.log_requests])
        if taken.envelope is not None:
            reach("message-pulled")
            self._brought.keep(taken.envelope.message.metadata.run_id, taken.objects)
            store(taken.envelope)
        self._unsure = False
        for run_id in taken.ended_runs:
            self._brought.forget(run_id)
        return taken.ended_runs

    def _rejoin_if_failed(self) -> None:
        """Let every ServerApp send again what the SuperLink of before may have handed out."""
        if self._failed:
            logger.warning("A message may be lost: the SuperLink is another one now.")
            self._failed = False
            self._membership.rejoin()

    def receive(self, store: Callable[[Envelope], None]) -> bool:
        """Pull one message and store it; return whether there was one.

        A message that the SuperLink counts as delivered and that did not arrive, because the
        connection broke on its way, would never be answered: the node then goes offline for a
        moment, and the ServerApp is told.
        """
        self._membership.pulling(active=True)
        try:
            envelope = self._api.pull_message()
        except RefusedError:
            self._membership.pulling(active=False)
            raise
        except UnreachableError as error:
            if not error.sent:
                self._membership.pulling(active=False)
                raise
            logger.warning("A message may be lost: %s", error)
            self._membership.rejoin()
            self._membership.pulling(active=False)
            return False
        if envelope is not None:
            reach("message-pulled")
            store(envelope)
        self._membership.pulling(active=False)
        return envelope is not None

    def wait_for_messages(self, run_ids: Sequence[int] = ()) -> tuple[int, ...] | None:
        """Wait until there may be a message, or one of the given runs has ended.

        Returns
        -------
        tuple of int or None
            The runs that have ended; None if there are no notifications.
        """
        try:
            waited = self._api.wait_for_messages(self._seen, WAIT_SECONDS, run_ids)
        except SuperLinkError:
            self.tells_ends = False
            raise
        self._seen = 0 if waited is None else waited.count
        self.tells_ends = waited is not None and waited.ends != 0
        if waited is not None and waited.log_requests:
            self.on_log_requests([LogRequest.from_proto(each) for each in waited.log_requests])
        return None if waited is None else waited.ended_runs

    def run(self, run_id: int) -> Run:
        """Return what the SuperLink knows of a run."""
        return self._api.run(run_id)

    def fab(self, fab_hash: str, run_id: int) -> Fab:
        """Return a run's FAB."""
        return self._api.fab(fab_hash, run_id)

    def run_status(self, run_id: int) -> RunStatus:
        """Return whether a run goes on, as far as the SuperLink says."""
        return self._api.run_status(run_id)

    def pull_objects(self, run_id: int, object_ids: list[str]) -> Objects:
        """Return the contents of a message's objects.

        Raises
        ------
        MessageUnavailableError
            One is gone, or did not come in time.
        """
        objects = self._brought.take(run_id, object_ids)
        left = [each for each in object_ids if each not in objects]
        return objects | self._api.pull_objects(run_id, left) if left else objects

    def send(
        self,
        envelope: Envelope,
        objects: Mapping[str, bytes],
        seconds: float,
        receipt: Receipt | None,
        *,
        again: bool,
        confirm: bool,
    ) -> bool:
        """Push a reply and its objects, with the receipt for it.

        `seconds` is how long the ClientApp took; `again`, whether a part of the reply may have
        been pushed before; `confirm`, whether to confirm the message, too, if it can be done at
        once. Returns whether it was done.

        Raises
        ------
        ReplyIncompleteError
            An object was not stored: the reply is to be sent again.
        KeyReplacedError
            The receipt is to be signed again: nothing was pushed.
        """
        if again:
            self._replies.send_again(envelope, objects, seconds, receipt)
            return False
        return self._replies.send(envelope, objects, seconds, receipt, confirm=confirm)

    @property
    def signs(self) -> bool:
        """Whether the node has a key to sign receipts with."""
        return self._own_key is not None

    def sign(self, receipt: Receipt) -> Receipt:
        """Return a receipt with the node's signature: a noted one, or a new one."""
        if receipt.signature or self._own_key is None:
            return receipt
        return sign(receipt.row, self._own_key.pair[0])

    def signed_now(self, receipt: Receipt) -> Receipt:
        """Return a receipt that was not sent yet with the signature of the key of now.

        A key that was replaced does not vouch for what is written afterwards.
        """
        own_key = self._own_key
        if own_key is None or (
            receipt.signature
            and (not own_key.was_replaced or is_signed_by(receipt, own_key.pair[1]))
        ):
            return receipt
        return sign(receipt.row, own_key.pair[0])

    def push_log(self, page: LogPage) -> bool:
        """Push rows of the node's log; return whether more of them are wanted."""
        while True:
            try:
                return self._api.push_log(page)
            except KeyReplacedError:
                receipts = [self.signed_now(each) for each in page.receipts]
                page = replace(page, receipts=receipts)

    def confirm(self, run_id: int, message_id: str) -> None:
        """Tell the SuperLink that it need not keep a message's objects any longer."""
        self._api.confirm(run_id, message_id)
