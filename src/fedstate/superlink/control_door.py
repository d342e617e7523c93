"""The door of a SuperLink's Control API, in two parts around Flower's middleware.

The outer part knows a call by its headers, before Flower has read any of it. The inner part knows
what it is about, since it is behind what reads the message.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware

from fedstate.accounts.accounts import Accounts
from fedstate.accounts.audit import AuditLog
from fedstate.accounts.door import ControlDoor
from fedstate.accounts.own_runs import OwnRuns
from fedstate.flower.log_streams import last_words
from fedstate.flower.run_owners import RunOwners
from fedstate.flower.superlink_middleware import READS_MESSAGES


@dataclass(frozen=True)
class Door:
    """What a SuperLink asks of who calls its Control API, and where the calls are written.

    Attributes
    ----------
    accounts : Accounts, optional
        Who may call; without them anybody may make every call.
    audit : AuditLog
        Where each call is written.
    """

    accounts: Accounts | None = None
    audit: AuditLog = field(default_factory=AuditLog)

    def put_into(self, app: FastAPI) -> None:
        """Put the door into our SuperLink, outermost."""
        owners = RunOwners(app.state.linkstate_factory.state)
        (reads,) = [
            place for place, each in enumerate(app.user_middleware) if each.cls is READS_MESSAGES
        ]
        app.user_middleware.insert(reads + 1, Middleware(OwnRuns, check=owners.check))
        app.add_middleware(
            ControlDoor, accounts=self.accounts, audit=self.audit, last_words=last_words
        )


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add the options of a door."""
    parser.add_argument(
        "--accounts",
        type=Path,
        metavar="FILE",
        help="Accounts that may call the Control API, as `fedstate account` makes them "
        "(default: anybody may).",
    )
    parser.add_argument(
        "--audit-log",
        type=Path,
        metavar="FILE",
        help="File for one line of JSON for each call of the Control API "
        "(default: the SuperLink's log).",
    )


def door_of(options: argparse.Namespace) -> Door:
    """Return the door that options ask for.

    Raises
    ------
    SettingError
        The accounts cannot be read, or the audit log cannot be written.
    """
    accounts = None if options.accounts is None else Accounts(options.accounts)
    return Door(accounts, AuditLog(options.audit_log))
