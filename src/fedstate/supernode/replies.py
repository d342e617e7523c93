"""Pushing a reply and its objects to the SuperLink."""

from collections.abc import Iterator, Mapping, Sequence

from fedstate.exchange.messages import BATCH_BYTES
from fedstate.failpoints import reach
from fedstate.flower.clients import Announced, FleetApi
from fedstate.flower.log_pages import LogPage
from fedstate.flower.stored_values import Envelope
from fedstate.witness.receipts import Receipt


class Replies:
    """Pushes replies: a small one in one request, where the SuperLink can take it.

    Parameters
    ----------
    api : FleetApi
        The SuperLink's Fleet API.
    """

    def __init__(self, api: FleetApi) -> None:
        self._api = api

    def send(
        self,
        envelope: Envelope,
        objects: Mapping[str, bytes],
        seconds: float,
        receipt: Receipt | None,
        *,
        confirm: bool,
    ) -> bool:
        """Push a reply of which nothing has been pushed before, with the receipt for it.

        `seconds` is how long the ClientApp took; `confirm`, whether the SuperLink need not keep
        the message any longer. Returns whether that was told, too.

        Raises
        ------
        ReplyIncompleteError
            An object was not stored.
        """
        due = _small(objects, envelope.object_ids)
        if due and self._api.push_reply(envelope, due, seconds, receipt, confirm=confirm):
            return confirm
        self._send_in_pieces(envelope, objects, seconds, receipt)
        return False

    def send_again(
        self,
        envelope: Envelope,
        objects: Mapping[str, bytes],
        seconds: float,
        receipt: Receipt | None,
    ) -> None:
        """Push a reply of which a piece may have been pushed before.

        Raises
        ------
        ReplyIncompleteError
            An object was not stored.
        """
        announced = self._send_in_pieces(envelope, objects, seconds, receipt)
        # A ServerApp that has taken the reply already waits three minutes for objects that an
        # interrupted push did not bring. The reply itself is refused by then, and its objects
        # are accepted only from whoever names no session.
        for key in envelope.object_ids:
            if key not in announced.wanted:
                self._api.push_object(envelope.message.metadata.run_id, key, objects[key])

    def _send_in_pieces(
        self,
        envelope: Envelope,
        objects: Mapping[str, bytes],
        seconds: float,
        receipt: Receipt | None,
    ) -> Announced:
        # Before the reply: one that the SuperLink has is never without its receipt.
        if receipt is not None:
            self._api.push_log(LogPage(receipts=[receipt]))
            reach("receipt-sent")
        announced = self._api.announce_reply(envelope, seconds)
        reach("reply-announced")
        due = _Some(objects, [key for key in envelope.object_ids if key in announced.wanted])
        self._api.push_objects(envelope.message.metadata.run_id, announced.session_id, due)
        return announced


class _Some(Mapping[str, bytes]):
    """Some of a reply's objects, each of them read when it is asked for."""

    def __init__(self, objects: Mapping[str, bytes], object_ids: Sequence[str]) -> None:
        self._objects = objects
        self._ids = dict.fromkeys(object_ids)

    def __getitem__(self, object_id: str) -> bytes:
        if object_id not in self._ids:
            raise KeyError(object_id)
        return self._objects[object_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def _small(objects: Mapping[str, bytes], object_ids: list[str]) -> dict[str, bytes]:
    """Return all objects if they fit into one request; without reading more than that."""
    due: dict[str, bytes] = {}
    size = 0
    for key in object_ids:
        due[key] = objects[key]
        size += len(due[key])
        if size >= BATCH_BYTES:
            return {}
    return due
