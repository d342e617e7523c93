"""Whose a run is, by flwr's state; and that operators see the runs of all accounts."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

# What an account asks for in its own name: a run to start, and a list of runs.
from flwr.proto.control_pb2 import ListRunsRequest, StartRunRequest

# The state that flwr's handlers work on, and what it says of a run.
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.run import Run

from fedstate.accounts.account import Account
from fedstate.accounts.errors import NOT_THE_ACCOUNTS_RUN, Refusal
from fedstate.exchange.messages import EvidenceRequest
from fedstate.flower.bulk_state import BulkLinkState
from fedstate.flower.control_accounts import OPERATORS_ID, account_id

if TYPE_CHECKING:
    _State = BulkLinkState  # one of those whose method it overrides
else:
    _State = LinkState


class OperatorsSeeAll(_State):
    """A state in which the runs of an operator are the runs of all accounts."""

    def get_run_info(
        self, *, flwr_aids: Sequence[str] | None = None, **filters: Any
    ) -> Sequence[Run]:
        """Return what is known of runs."""
        if flwr_aids is not None and OPERATORS_ID in flwr_aids:
            flwr_aids = None
        return super().get_run_info(flwr_aids=flwr_aids, **filters)


class RunOwners:
    """Says of a submitter's message whether what it names is the submitter's own.

    Parameters
    ----------
    state : callable
        Returns the SuperLink's state.
    """

    def __init__(self, state: Callable[[], LinkState]) -> None:
        self._state = state

    def check(self, account: Account, message: Any) -> None:
        """Refuse a message that names a run of another account.

        A run or series that is not there is not refused here: flwr says so.

        Raises
        ------
        Refusal
            The message names what is not the account's, or what cannot be told (403).
        """
        if isinstance(message, StartRunRequest):
            self._check_start(account, message)
        elif isinstance(message, EvidenceRequest):
            self._check_runs(account, message.run_ids)
        elif isinstance(message, ListRunsRequest) and not message.HasField("run_id"):
            return  # flwr lists the account's own
        elif hasattr(message, "run_id"):
            self._check_runs(account, [message.run_id])
        else:
            raise Refusal.forbidden("Only an operator may make this call.")

    def _check_start(self, account: Account, message: Any) -> None:
        if message.connector_ids or message.connector_refs:
            raise Refusal.forbidden(
                "Connectors are the federation's; only an operator may start a run with one."
            )
        if message.HasField("series_id"):
            for series in self._state().get_run_series(series_ids=[message.series_id]):
                self._check_runs(account, series.run_ids)

    def _check_runs(self, account: Account, run_ids: Sequence[int]) -> None:
        own = account_id(account)
        for run in self._state().get_run_info(run_ids=list(run_ids)) if run_ids else ():
            if run.flwr_aid != own:
                raise Refusal.forbidden(
                    f"Run {run.run_id} is not one of account '{account.name}', which is a "
                    f"{account.role} and has its own runs alone.",
                    NOT_THE_ACCOUNTS_RUN,
                )
