"""ServerApps and a SuperLink, as a model that answers a node in every way there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flwr.app import Error, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from tests.unit.supernode.model import SERIES, Disk, Killed, promise

from fedstate.flower.errors import (
    ErrorCode,
    MessageUnavailableError,
    RefusedError,
    ReplyIncompleteError,
    RunEndedError,
    UnreachableError,
)
from fedstate.flower.stored_values import Envelope
from fedstate.store.errors import StoreFullError
from fedstate.witness.receipts import Receipt

Choose = Callable[[Sequence[Any]], Any]

MESSAGES_OF_A_RUN = 5
OUTSTANDING = 3
TRIES_OF_A_CRASH = 3


def _envelope(message: Message) -> Envelope:
    message.metadata.__dict__["_message_id"] = message.object_id
    return Envelope(message, get_object_tree(message))


def _messages(run_id: int) -> list[tuple[Envelope, Envelope]]:
    """Return the messages of a run, each with a reply of a ClientApp."""
    pairs = []
    for number in range(MESSAGES_OF_A_RUN):
        metadata = Metadata(run_id, "", 2, 3, "", str(number), 1000.0 + number, 10.0, "train")
        message = make_message(metadata=metadata, content=RecordDict())
        envelope = _envelope(message)
        pairs.append((envelope, _envelope(Message(RecordDict(), reply_to=message))))
    return pairs


MESSAGES = {run_id: _messages(run_id) for run_id in SERIES}


@dataclass
class Asked:
    """A message as the ServerApp and the SuperLink see it.

    Attributes
    ----------
    at : str
        ``absent``, ``pending`` (to be pulled) or ``delivered`` at the SuperLink.
    reply : tuple, optional
        What the SuperLink has as the reply and the ServerApp has not taken.
    half : bool
        Whether objects of the reply are missing.
    half_taken : bool
        Whether the ServerApp waits for the missing objects.
    result : str, optional
        What the ServerApp got in the end.
    tries : int
        How often it has sent the message again because its ClientApp crashed.
    owed : bool
        Whether it was given an error for which it will send the message again.
    dropped : bool
        Whether the SuperLink has said by mistake that the run had ended.
    before : str, optional
        The result that was lost.
    """

    envelope: Envelope
    answer: Envelope
    run_id: int
    at: str = "pending"
    reply: str | None = None
    half: bool = False
    half_taken: str | None = None
    result: str | None = None
    tries: int = 0
    owed: bool = False
    dropped: bool = False
    before: str | None = None

    @property
    def message_id(self) -> str:
        return self.envelope.message.metadata.message_id


class Servers:
    """The SuperLink and the ServerApps: what a node's `Steps` take for a link and an admission.

    Parameters
    ----------
    choose : callable
        Picks one of several options; everything that is left to chance goes through it.
    """

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.faults = True
        self.disk = Disk()
        self.asked: dict[str, Asked] = {}
        self.ended: set[int] = set()
        # The message that is being received: its answer may be sent though it is not durable.
        self.receiving: str | None = None
        self.nested = False

    def pending(self) -> list[Asked]:
        """Return the messages that can be pulled."""
        raise NotImplementedError

    def pull(self, asked: Asked) -> None:
        """Pull a message."""
        raise NotImplementedError

    def told_of_the_end(self, run_id: int) -> None:
        """Tell the node that a run has ended, while its pool does something else."""
        raise NotImplementedError

    # What a ServerApp does.

    def pushable(self) -> list[int]:
        """Return the runs in which a message can be sent."""
        if not self.faults:
            return []
        return [
            run_id
            for run_id in SERIES
            if run_id not in self.ended
            and self._count(run_id) < MESSAGES_OF_A_RUN
            and sum(a.run_id == run_id and not a.result for a in self.asked.values())
            < OUTSTANDING
        ]

    def _count(self, run_id: int) -> int:
        return sum(each.run_id == run_id for each in self.asked.values())

    def push(self, run_id: int) -> None:
        """Send the next message of a run."""
        envelope, answer = MESSAGES[run_id][self._count(run_id)]
        asked = Asked(envelope, answer, run_id)
        self.asked[asked.message_id] = asked

    def replied(self) -> list[Asked]:
        """Return the messages to which the SuperLink has a reply."""
        return [each for each in self.asked.values() if each.reply is not None]

    def take(self, asked: Asked) -> None:
        """Take a reply; an error may be answered by sending the message again."""
        reply, asked.reply, asked.at = asked.reply, None, "absent"
        if asked.half:
            asked.half, asked.half_taken = False, reply
        else:
            self._got(asked, reply)

    def _got(self, asked: Asked, reply: str | None) -> None:
        crashed = reply == f"error {ErrorCode.CLIENT_APP_CRASHED.value}"
        if crashed and asked.tries < TRIES_OF_A_CRASH and asked.run_id not in self.ended:
            asked.tries += 1
            asked.owed = True
        else:
            asked.result = reply
            committed = asked.before is not None and asked.before.startswith("attempt")
            promise(
                not committed or reply in (asked.before, f"error {ErrorCode.UNKNOWN.value}"),
                "A step that was committed was answered with something else.",
            )

    def lost(self) -> list[Asked]:
        """Return the messages for which the node may be called unavailable."""
        if not self.faults:
            return []
        return [a for a in self.asked.values() if a.at != "absent" and a.reply is None]

    def lose(self, asked: Asked) -> None:
        """Call the node unavailable: the ServerApp will send the message again."""
        asked.at, asked.owed = "absent", True

    def owed(self) -> list[Asked]:
        """Return the messages that a ServerApp sends again."""
        return [each for each in self.asked.values() if each.owed]

    def resend(self, asked: Asked) -> None:
        """Send a message again."""
        asked.at, asked.owed = "pending", False

    def ask_again(self, asked: Asked) -> None:
        """Send a message again whose result was lost with the ServerApp or the SuperLink."""
        asked.before, asked.result, asked.owed = asked.result, None, True

    def end_run(self, run_id: int) -> None:
        """End a run, whatever is under way."""
        self.ended.add(run_id)
        for asked in self.asked.values():
            if asked.run_id == run_id and asked.result is None:
                asked.result, asked.at, asked.owed = "ended", "absent", False
                asked.reply, asked.half_taken = None, None

    # Admission: whether the node takes in a run.

    def problem_with(self, run_id: int) -> Error | None:
        if run_id in self.disk.runs:
            return None
        self._talk(run_id)
        if self.faults and self.choose([False] * 5 + [True]):
            return Error(ErrorCode.INVALID_FAB, "The FAB could not be verified.")
        try:
            self.disk.add_run(run_id)
        except StoreFullError as error:
            return Error(ErrorCode.UNKNOWN, str(error))
        return None

    def problem_now(self, _run_id: int) -> Error | None:
        if self.faults and self.choose([False] * 20 + [True]):
            return Error(ErrorCode.INVALID_FAB, "This node does not allow the app any longer.")
        return None

    # The SuperLink, as the steps see it.

    def _talk(self, run_id: int) -> None:
        if run_id in self.ended:
            raise RunEndedError("The run has ended.")
        if self.faults and self.choose([False] * 40 + [True]):
            # The SuperLink is mistaken, or the node is out of the run's federation for a while.
            for each in self.asked.values():
                each.dropped = each.dropped or each.run_id == run_id
            raise RunEndedError("The run has ended.")

    def meanwhile(self, asked: Asked | None = None) -> None:
        """Let others do something while a request is on its way, most likely with its message."""
        if self.nested or not self.faults:
            return
        self.nested = True
        try:
            for _ in range(self.choose([0, 0, 0, 1, 3])):
                options: list[tuple[Callable[..., None], Any]] = [
                    *((self.take, each) for each in self.replied()),
                    *((self.lose, each) for each in self.lost()),
                    *((self.resend, each) for each in self.owed()),
                    *((self.pull, each) for each in self.pending()),
                    *((self.push, run_id) for run_id in self.pushable()),
                ]
                same = [each for each in options if each[1] is asked]
                if options:
                    action, argument = self.choose(options + 3 * same)
                    action(argument)
        finally:
            self.nested = False

    def pull_objects(self, run_id: int, _: list[str]) -> dict[str, bytes]:
        self.meanwhile()
        self._talk(run_id)
        fault = self.choose(["", "", "", "", "broken", "gone", "refused"]) if self.faults else ""
        if fault == "broken":
            raise UnreachableError("The SuperLink cannot be reached.", sent=False)
        if fault == "gone":
            raise MessageUnavailableError("An object is gone.")
        if fault == "refused":
            raise RefusedError("The SuperLink refused.", 400)
        if self.faults and self.choose([False] * 9 + [True]):
            self.end_run(run_id)
            self.told_of_the_end(run_id)
        return {}

    def send(
        self,
        envelope: Envelope,
        objects: dict[str, bytes],
        _: float,
        receipt: Receipt | None,
        *,
        again: bool,
        confirm: bool,
    ) -> bool:
        message_id = envelope.message.metadata.reply_to_message_id
        reply = self._leaving(message_id, envelope, objects, confirm=confirm)
        self._check_receipt(message_id, receipt, error=envelope.message.has_error())
        asked = self.asked[message_id]
        self.meanwhile(asked)
        self._talk(asked.run_id)
        kinds = [*[""] * 10, "broken before", "broken after", "busy", "half", "half", "killed"]
        fault = self.choose(kinds) if self.faults else ""
        if fault == "broken before":
            raise UnreachableError("The SuperLink cannot be reached.", sent=False)
        if fault == "busy":
            raise RefusedError("The SuperLink refused (database is locked).", 500)
        wanted = asked.at != "absent"
        if fault == "half" and envelope.message.has_error():
            raise ReplyIncompleteError("An object was not stored.")  # its only one
        if wanted:
            error = envelope.message.has_error()  # which is one object, that comes or does not
            asked.reply, asked.half = reply, fault in ("half", "killed") and not error
        elif asked.half_taken is not None and again:
            # The ServerApp has taken the reply, and waits for its objects.
            taken, asked.half_taken = asked.half_taken, None
            promise(taken == reply, "Another reply was sent than the one that was half sent.")
            self._got(asked, reply)
        if fault == "killed":
            raise Killed
        self.meanwhile(asked)
        if fault == "broken after":
            raise UnreachableError("The SuperLink cannot be reached.", sent=True)
        if fault == "half" and wanted:
            raise ReplyIncompleteError("An object was not stored.")
        if not wanted and self.choose([True, False]):
            raise RefusedError("The SuperLink refused (no such message).", 404)
        return bool(confirm and not again and self.choose([True, False]))

    def _leaving(
        self, message_id: str, envelope: Envelope, objects: dict[str, bytes], *, confirm: bool
    ) -> str:
        """Check a reply that leaves the node; return what it is."""
        row = self.disk.rows.get(message_id)
        durable = self.disk.committed(message_id)
        freed = self.asked[message_id].run_id in self.disk.freed
        if not envelope.message.has_error():
            promise(durable, "A reply left before its state was durable.")
            kept = None if row is None else row.reply
            content = next(iter(objects.values()))
            promise(
                kept is None or content in bytes(kept.header),
                "The reply is not that of the commit.",
            )
            return content.decode()
        error = envelope.message.error
        gone = durable and "not kept" in (error.reason or "")
        promise(not durable or gone or freed, "An error was sent for a step that is committed.")
        promise(durable or not confirm, "The message of a step that failed was confirmed.")
        promise(
            row is not None or freed or self.receiving == message_id,
            "An error was sent for a message that the store does not have.",
        )
        return f"error {error.code}"

    def sign(self, receipt: Receipt) -> Receipt:
        return Receipt(receipt.row, receipt.signature or b"new")

    def signed_now(self, receipt: Receipt) -> Receipt:
        """Return the receipt: the node's key is not replaced here."""
        return receipt

    def _check_receipt(self, message_id: str, receipt: Receipt | None, *, error: bool) -> None:
        """Check the receipt that leaves the node with a reply."""
        durable = self.disk.committed(message_id)
        if self.asked[message_id].run_id in self.disk.freed:
            return
        if receipt is None:
            promise(not durable, "A committed step was answered without its receipt.")
            # There was no room for the row of a failure.
            no_room = message_id in self.disk.unrecorded
            promise(no_room, "A failed step was answered without a receipt.")
            return
        outcome = "committed" if durable else "failed"
        promise(receipt.row == f"{message_id} {outcome}".encode(), "The receipt is another's.")
        promise(
            receipt == self.disk.receipt(message_id) or receipt.signature == b"new",
            "A receipt is not a row of the log.",
        )
        promise(durable or error, "A failed step was answered with a reply.")
        promise(receipt.signature, "A receipt is not signed.")

    def confirm(self, run_id: int, message_id: str) -> None:
        promise(self.disk.committed(message_id), "A message was confirmed before its commit.")
        self.meanwhile()
        self._talk(run_id)
        fault = self.choose(["", "", "broken", "refused"]) if self.faults else ""
        if fault == "broken":
            raise UnreachableError("The SuperLink cannot be reached.", sent=True)
        if fault == "refused":
            raise RefusedError("The SuperLink refused.", 400)
