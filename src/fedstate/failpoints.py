"""Named points at which a crash test stops or kills a process; off unless armed.

The variable ``FEDSTATE_FAILPOINTS`` arms them, as ``name=action`` separated by commas:

- ``name=kill`` sends SIGKILL to this process at the first pass, ``name=kill:3`` at the third;
- ``name=pause:PATH`` creates ``PATH.reached`` and waits until ``PATH`` exists.

The crash tests refer to the names in `NAMES`; a name that does not exist is refused, so that a
test whose point was renamed fails instead of killing nothing.
"""

import os
import signal
import threading
import time
from pathlib import Path

from fedstate.errors import SettingError

VARIABLE = "FEDSTATE_FAILPOINTS"

NAMES = frozenset(
    {
        "message-pulled",  # the SuperLink counts it as delivered, nothing is stored yet
        "message-stored",  # the message is durable, its content not yet pulled
        "task-created",  # an executor may take the task
        "context-loaded",  # the state was handed to the ClientApp
        "commit-started",  # the output arrived, the transaction is not open yet
        "store-write",  # inside the transaction that stores a step
        "step-committed",  # state and reply are durable, the reply has not left
        "failure-recorded",  # the row of a failed step is durable, its error has not left
        "receipt-signed",  # the receipt is made, nothing of the reply has left
        "receipt-sent",  # the SuperLink has the receipt of a reply that follows in pieces
        "log-page-sent",  # a page of the node's log is at the SuperLink, more are to follow
        "reply-announced",  # the SuperLink has the reply, not yet its objects
        "reply-sent",  # the SuperLink has the reply, the store does not know it yet
        "reply-noted",  # the store knows it, the step is not yet over
        "content-written",  # a file of large content is written, not yet durable
        "content-synced",  # it is durable, the rows that name it are not committed
        "content-committed",  # they are
        "content-gone",  # what no row names any longer is about to be removed
        "content-moved",  # some content of an older store has moved from its rows to a file
        "migration",  # inside the transaction of a migration
        "delta-made",  # inside the transaction that makes a chunk a difference from another one
        "delta-rebased",  # inside the transaction that frees differences of what is to go
        "rollback",  # inside the transaction that makes a former state the present one
        "restore-copied",  # the backup's database is beside the store that it replaces
        "restore-moved",  # the store that was there is moved aside
        "restore-marked",  # the mark is the backup's, its database is not yet in place
        "rewrite-copied",  # the database with another cipher is whole, and not in place
        "rewrite-replaced",  # it is in place
        "object-written",  # contents are durable in a SuperLink's file, no row names it yet
        "objects-stored",  # the rows that name it are there, whoever sent them is not answered
        "objects-deleted",  # the rows are gone, the file is not yet
        "retention",  # inside the transaction that frees a finished run
    }
)


class _Armed:
    """The failpoints of this process and how often each was passed."""

    def __init__(self, setting: str) -> None:
        self.actions: dict[str, str] = {}
        self.passes: dict[str, int] = {}
        self.lock = threading.Lock()
        for item in filter(None, setting.split(",")):
            name, _, action = item.partition("=")
            known = action.split(":")[0] in ("kill", "pause")
            if name not in NAMES or not known:
                raise SettingError(
                    f"{VARIABLE} has the item '{item}', which is not a failpoint and an action."
                    f" Use name=kill, name=kill:COUNT or name=pause:PATH with one of "
                    f"{', '.join(sorted(NAMES))}."
                )
            self.actions[name] = action

    def reach(self, name: str) -> None:
        if (action := self.actions.get(name)) is None:
            return
        with self.lock:
            self.passes[name] = self.passes.get(name, 0) + 1
            passes = self.passes[name]
        verb, _, argument = action.partition(":")
        if verb == "kill" and passes == int(argument or 1):
            os.kill(os.getpid(), signal.SIGKILL)
        elif verb == "pause":
            Path(argument + ".reached").touch()
            while not Path(argument).exists():
                time.sleep(0.02)


_armed = _Armed(os.environ.get(VARIABLE, ""))


def arm() -> None:
    """Read the environment again: a forked program has got another since this was imported."""
    global _armed
    _armed = _Armed(os.environ.get(VARIABLE, ""))


def reach(name: str) -> None:
    """Pass the failpoint `name`: nothing happens unless the environment armed it.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    """
    _armed.reach(name)
