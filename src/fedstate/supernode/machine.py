"""The life of one step as a table: (phase, event) -> (phase, commands).

A step is one message of a run, from the moment it was pulled until its reply was sent and that
was noted. Nothing here does anything: `steps.py` tells what has happened, and carries out what
`advance` commands. What must hold whatever happens, and in whatever order, is in the table:

- A message that is not durable is never worked on; it is answered before the next is pulled.
- The reply of a step leaves only after `COMMIT` has made its state and the reply durable, and its
  row in the log with them. The row of a failure is written before the error leaves, or, if there
  is no room then, when the step is forgotten.
- What `COMMIT` made durable is never forgotten, and never made a second time: such a step is
  only answered again.
- A step that failed is forgotten, but only when the SuperLink has the error.
- A message that comes again is in the store for as long as it is not answered again.
- When a run has ended, its steps are forgotten wherever they are: nobody waits for a reply. Those
  that are committed stay so. Of a message that comes again all the same, the SuperLink says that
  its run has ended when it is pulled.

After a kill the next SuperNode begins with what the store has: every step that is not answered
there waits for its turn again, and `LOOK_UP` tells a step that was committed from one that was
not.
"""

from dataclasses import dataclass
from enum import Enum


class Stage(Enum):
    """How far a step has come."""

    ARRIVED = "the message was pulled and is not durable"
    ANSWERING = "the message is not kept; its answer is being sent"
    WAITING = "the message is durable and waits for its turn"
    STARTING = "it has its turn; the store is asked what it knows of the step"
    PULLING = "the objects of the message are being pulled"
    RUNNING = "the step has a task; a ClientApp works on it"
    COMMITTING = "the state and the reply are being made durable"
    SENDING = "the step is committed; its reply is being sent"
    SENDING_ERROR = "the step has failed; its error is being sent"
    CONFIRMING = "the reply was sent; the SuperLink is told that it need not keep the message"
    NOTING = "the reply was sent; that is being noted"
    FORGETTING = "the step has failed, and is being removed from the store"
    OVER = "the step has ended"


class Event(Enum):
    """What has happened to a step."""

    STORED = "the message is durable"
    REFUSED = "the message cannot be accepted, or not any longer"
    TURN = "its turn has come"
    FRESH = "the store has the message, and no commit for it"
    REPLY_STORED = "the store has the step as committed, with its reply"
    REPLY_GONE = "the store has the step as committed, and its reply no longer"
    MISSING = "the store does not have the message"
    PULLED = "a ClientApp can be given the message"
    UNAVAILABLE = "the content of the message cannot be had"
    OUTPUT = "the ClientApp has ended with a reply and a Context"
    FAILED = "the ClientApp has raised, ended with an error, or vanished"
    COMMITTED = "the state and the reply are durable"
    COMMIT_REFUSED = "neither is durable: no room, or what the ClientApp left is not whole"
    SENT = "the SuperLink has the reply"
    SENT_AND_CONFIRMED = "the SuperLink has the reply, and knows that the message can go"
    REJECTED = "the SuperLink does not want the reply"
    SERVER_ERROR = "the SuperLink could not take the reply this time"
    INCOMPLETE = "the SuperLink has not all of the reply"
    UNREACHABLE = "the connection failed or broke"
    PAUSED = "a pause is over"
    NOTED = "the store has what was to be noted"
    DISK_FULL = "the store has no room to note it"
    CONFIRMED = "the SuperLink was told, or keeps the message longer"
    RESENT = "the ServerApp has sent the message again, and it was pulled"
    RUN_ENDED = "the SuperLink says that the run has ended: nobody waits for a reply"


class Command(Enum):
    """What is to be done next; each of the slow ones has exactly one event as its outcome."""

    QUEUE = "wait for the turn"
    LOOK_UP = "ask the store; FRESH (or REFUSED, RUN_ENDED), REPLY_STORED, REPLY_GONE or MISSING"
    PULL = "pull the objects (slow); PULLED, UNAVAILABLE, UNREACHABLE or RUN_ENDED"
    CREATE_TASK = "let an executor take it; RUN_ENDED if it must not"
    COMMIT = "make state and reply durable; COMMITTED or COMMIT_REFUSED"
    COMPLETE_TASK = "the task has succeeded"
    FAIL_TASK = "the task has failed"
    STOP_TASK = "the task is over, whatever its ClientApp does"
    RECORD = "write into the log that the step has failed, unless there is no room"
    WRITE_ERROR = "make the reply of an error"
    SEND = "send the reply, of which nothing was sent yet (slow); SENT, SENT_AND_CONFIRMED, ..."
    SEND_AGAIN = "send all of the reply, of which a piece may have been sent (slow); SENT, ..."
    NOTE_ANSWERED = "note that the SuperLink has the reply; NOTED or DISK_FULL"
    FORGET = "remove the step from the store, with its row in the log; NOTED or DISK_FULL"
    CONFIRM = "tell the SuperLink that the message can go (slow); CONFIRMED"
    PAUSE = "wait a moment (slow); PAUSED"
    RELEASE = "the turn is over"
    QUEUE_AGAIN = "the turn is over, and the message waits for the next one, before all others"


@dataclass(frozen=True)
class Phase:
    """Where a step is.

    Attributes
    ----------
    stage : Stage
        How far it has come.
    resent : bool
        Whether the message came again since its reply was last handed to the SuperLink, which
        may then have taken it before the ServerApp asked again: the reply is due once more.
    """

    stage: Stage
    resent: bool = False


ARRIVED = Phase(Stage.ARRIVED)
WAITING = Phase(Stage.WAITING)

Commands = tuple[Command, ...]
Table = dict[tuple[Stage, Event], tuple[Stage, Commands]]

_ERROR = (Command.RECORD, Command.WRITE_ERROR, Command.SEND)
_FAILURE = (Command.FAIL_TASK, *_ERROR)

TABLE: Table = {
    # Accepted; or answered at once, since it cannot be kept.
    (Stage.ARRIVED, Event.STORED): (Stage.WAITING, (Command.QUEUE,)),
    (Stage.ARRIVED, Event.REFUSED): (Stage.ANSWERING, _ERROR),
    (Stage.ARRIVED, Event.REPLY_STORED): (Stage.ANSWERING, (Command.SEND_AGAIN,)),
    (Stage.ARRIVED, Event.REPLY_GONE): (
        Stage.ANSWERING,
        (Command.WRITE_ERROR, Command.SEND),
    ),
    (Stage.ARRIVED, Event.RUN_ENDED): (Stage.OVER, (Command.RECORD,)),
    (Stage.ANSWERING, Event.SENT): (Stage.OVER, ()),
    (Stage.ANSWERING, Event.REJECTED): (Stage.OVER, ()),
    (Stage.ANSWERING, Event.RUN_ENDED): (Stage.OVER, ()),
    (Stage.ANSWERING, Event.SERVER_ERROR): (Stage.ANSWERING, (Command.PAUSE,)),
    (Stage.ANSWERING, Event.INCOMPLETE): (Stage.ANSWERING, (Command.PAUSE,)),
    (Stage.ANSWERING, Event.UNREACHABLE): (Stage.ANSWERING, (Command.PAUSE,)),
    (Stage.ANSWERING, Event.PAUSED): (Stage.ANSWERING, (Command.SEND_AGAIN,)),
    # Before there is a task.
    (Stage.WAITING, Event.TURN): (Stage.STARTING, (Command.LOOK_UP,)),
    # Nothing will be made: it waits for no turn.
    (Stage.WAITING, Event.RUN_ENDED): (Stage.STARTING, (Command.LOOK_UP,)),
    (Stage.STARTING, Event.RUN_ENDED): (Stage.FORGETTING, (Command.FORGET,)),
    (Stage.STARTING, Event.FRESH): (Stage.PULLING, (Command.PULL,)),
    (Stage.STARTING, Event.REPLY_STORED): (Stage.SENDING, (Command.SEND_AGAIN,)),
    (Stage.STARTING, Event.REPLY_GONE): (Stage.SENDING, (Command.WRITE_ERROR, Command.SEND)),
    (Stage.STARTING, Event.MISSING): (Stage.SENDING_ERROR, _ERROR),
    (Stage.STARTING, Event.REFUSED): (Stage.SENDING_ERROR, _ERROR),
    (Stage.PULLING, Event.PULLED): (Stage.RUNNING, (Command.CREATE_TASK,)),
    (Stage.PULLING, Event.UNREACHABLE): (Stage.PULLING, (Command.PAUSE,)),
    (Stage.PULLING, Event.PAUSED): (Stage.PULLING, (Command.PULL,)),
    (Stage.PULLING, Event.UNAVAILABLE): (Stage.SENDING_ERROR, _ERROR),
    (Stage.PULLING, Event.RUN_ENDED): (Stage.FORGETTING, (Command.FORGET,)),
    # What the ClientApp left.
    (Stage.RUNNING, Event.OUTPUT): (Stage.COMMITTING, (Command.COMMIT,)),
    (Stage.RUNNING, Event.FAILED): (Stage.SENDING_ERROR, _FAILURE),
    (Stage.RUNNING, Event.RUN_ENDED): (Stage.FORGETTING, (Command.STOP_TASK, Command.FORGET)),
    (Stage.COMMITTING, Event.COMMITTED): (
        Stage.SENDING,
        (Command.COMPLETE_TASK, Command.SEND),
    ),
    (Stage.COMMITTING, Event.COMMIT_REFUSED): (Stage.SENDING_ERROR, _FAILURE),
    # The reply of a committed step.
    (Stage.SENDING, Event.SENT): (Stage.CONFIRMING, (Command.CONFIRM,)),
    (Stage.SENDING, Event.SENT_AND_CONFIRMED): (Stage.NOTING, (Command.NOTE_ANSWERED,)),
    (Stage.SENDING, Event.REJECTED): (Stage.CONFIRMING, (Command.CONFIRM,)),
    (Stage.SENDING, Event.SERVER_ERROR): (Stage.SENDING, (Command.PAUSE,)),
    (Stage.SENDING, Event.INCOMPLETE): (Stage.SENDING, (Command.PAUSE,)),
    (Stage.SENDING, Event.UNREACHABLE): (Stage.SENDING, (Command.PAUSE,)),
    (Stage.SENDING, Event.PAUSED): (Stage.SENDING, (Command.SEND_AGAIN,)),
    # Should the SuperLink be mistaken and send the message again, it must not be made again.
    (Stage.SENDING, Event.RUN_ENDED): (Stage.NOTING, (Command.NOTE_ANSWERED,)),
    (Stage.CONFIRMING, Event.CONFIRMED): (Stage.NOTING, (Command.NOTE_ANSWERED,)),
    (Stage.NOTING, Event.NOTED): (Stage.OVER, (Command.RELEASE,)),
    (Stage.NOTING, Event.DISK_FULL): (Stage.NOTING, (Command.PAUSE,)),
    (Stage.NOTING, Event.PAUSED): (Stage.NOTING, (Command.NOTE_ANSWERED,)),
    # The error of a step that failed. Its message is not confirmed: it may be on its way again,
    # with the same objects.
    (Stage.SENDING_ERROR, Event.SENT): (Stage.FORGETTING, (Command.FORGET,)),
    (Stage.SENDING_ERROR, Event.REJECTED): (Stage.FORGETTING, (Command.FORGET,)),
    (Stage.SENDING_ERROR, Event.RUN_ENDED): (Stage.FORGETTING, (Command.FORGET,)),
    (Stage.SENDING_ERROR, Event.SERVER_ERROR): (Stage.SENDING_ERROR, (Command.PAUSE,)),
    (Stage.SENDING_ERROR, Event.INCOMPLETE): (Stage.SENDING_ERROR, (Command.PAUSE,)),
    (Stage.SENDING_ERROR, Event.UNREACHABLE): (Stage.SENDING_ERROR, (Command.PAUSE,)),
    (Stage.SENDING_ERROR, Event.PAUSED): (Stage.SENDING_ERROR, (Command.SEND_AGAIN,)),
    # Were it not noted, the next SuperNode would make a failed step again.
    (Stage.FORGETTING, Event.NOTED): (Stage.OVER, (Command.RELEASE,)),
    (Stage.FORGETTING, Event.DISK_FULL): (Stage.FORGETTING, (Command.PAUSE,)),
    (Stage.FORGETTING, Event.PAUSED): (Stage.FORGETTING, (Command.FORGET,)),
}

# What is different when the message has come again.
RESENT_TABLE: Table = {
    (Stage.SENDING, Event.SENT): (Stage.SENDING, (Command.SEND_AGAIN,)),
    (Stage.SENDING, Event.SENT_AND_CONFIRMED): (Stage.SENDING, (Command.SEND_AGAIN,)),
    (Stage.SENDING, Event.REJECTED): (Stage.SENDING, (Command.SEND_AGAIN,)),
    (Stage.SENDING_ERROR, Event.SENT): (Stage.SENDING_ERROR, (Command.SEND_AGAIN,)),
    (Stage.SENDING_ERROR, Event.REJECTED): (Stage.SENDING_ERROR, (Command.SEND_AGAIN,)),
    # What the store has, a step to make or a reply that is due, is all that keeps a message which
    # the SuperLink counts as delivered: it stays, and the message waits for its turn once more.
    (Stage.SENDING, Event.RUN_ENDED): (Stage.OVER, (Command.QUEUE_AGAIN,)),
    (Stage.SENDING_ERROR, Event.RUN_ENDED): (Stage.OVER, (Command.QUEUE_AGAIN,)),
    (Stage.CONFIRMING, Event.CONFIRMED): (Stage.OVER, (Command.QUEUE_AGAIN,)),
    (Stage.NOTING, Event.PAUSED): (Stage.OVER, (Command.QUEUE_AGAIN,)),
    (Stage.FORGETTING, Event.PAUSED): (Stage.OVER, (Command.QUEUE_AGAIN,)),
}

# No reply has been handed to the SuperLink: the one to come answers all that came before it.
BEFORE_REPLY = {
    *(Stage.WAITING, Stage.STARTING, Stage.PULLING),
    *(Stage.RUNNING, Stage.COMMITTING),
}

# Sent again before the reply: the reply, when there is one, is the answer to both.
_RESENT_BEFORE = {Stage.WAITING, Stage.PULLING, Stage.RUNNING}
_RESENT_AFTER = {
    Stage.SENDING,
    Stage.SENDING_ERROR,
    Stage.CONFIRMING,
    Stage.NOTING,
    Stage.FORGETTING,
}
# A ClientApp that was given up, or whose output arrives twice, changes nothing any more.
_TASK_ENDED = {*_RESENT_AFTER, Stage.OVER}

_SENDS = {Command.SEND, Command.SEND_AGAIN}


class ImpossibleEventError(Exception):
    """An event came in a phase in which it cannot happen: a bug in whoever runs the machine."""

    def __init__(self, phase: Phase, event: Event) -> None:
        again = ", and its message was sent again" if phase.resent else ""
        super().__init__(
            f"The event {event.name} ({event.value}) came to a step in the phase "
            f"{phase.stage.name} ({phase.stage.value}{again}), where it cannot happen."
        )


def advance(phase: Phase, event: Event) -> tuple[Phase, Commands]:
    """Return what follows from an event: the next phase, and what is to be done, in order.

    Raises
    ------
    ImpossibleEventError
        The event cannot happen in this phase.
    """
    stage = phase.stage
    if event is Event.RESENT and stage in _RESENT_BEFORE:
        return phase, ()
    if event is Event.RESENT and stage in _RESENT_AFTER:
        return Phase(stage, resent=True), ()
    if event in (Event.FAILED, Event.OUTPUT) and stage in _TASK_ENDED:
        return phase, ()
    row = RESENT_TABLE.get((stage, event)) if phase.resent else None
    row = row or TABLE.get((stage, event))
    if row is None:
        raise ImpossibleEventError(phase, event)
    following, commands = row
    due = phase.resent and following is not Stage.OVER and not _SENDS.intersection(commands)
    return Phase(following, resent=due), commands
