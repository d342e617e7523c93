"""What our evidence route needs of flwr's SuperLink: the account, its runs, and the nodes."""

import datetime
from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import Depends

# The state, and how flwr's routes of the Control API come by it and by the account that asks.
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.auth.typing import AccountInfo
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.run import Run
from flwr.superlink.dependencies.account import get_account
from flwr.superlink.dependencies.linkstate import get_linkstate

# What lets an account see a run that it names, as for `flwr list --run-id`.
from flwr.superlink.servicer.control.control_handlers import (
    _validate_federation_membership_in_request,
)

from fedstate.flower.evidence_log import EvidenceLog
from fedstate.flower.proto.evidence_pb2 import NodeAccount, RunAccount
from fedstate.flower.runs import FROM_RUN
from fedstate.flower.witnessed_state import evidence_of, witnessed


class VisibleRuns:
    """The runs and nodes that the account of a request may see."""

    def __init__(self, state: LinkState, account: AccountInfo) -> None:
        self._state = state
        self._account = account

    @property
    def evidence(self) -> EvidenceLog:
        """The SuperLink's own account of what was delivered and received."""
        return evidence_of(self._state)

    def all(self) -> list[RunAccount]:
        """Return all runs of the account, the newest first."""
        runs = self._state.get_run_info(
            flwr_aids=[self._account.flwr_aid], order_by="pending_at", ascending=False
        )
        return [_run(run) for run in runs]

    def named(self, run_ids: Sequence[int]) -> list[RunAccount]:
        """Return these runs.

        Raises
        ------
        FlowerError
            One is not there, or the account may not see it; as flwr answers for a run.
        """
        runs = self._state.get_run_info(run_ids=run_ids)
        if missing := set(run_ids) - {run.run_id for run in runs}:
            raise FlowerError(
                ApiErrorCode.RUN_ID_NOT_FOUND,
                f"Run {min(missing)} not found for {self._account.flwr_aid}.",
            )
        for federation in {run.federation_id for run in runs}:
            _validate_federation_membership_in_request(
                self._state, self._account.flwr_aid, federation
            )
        return [_run(run) for run in runs]

    def nodes(self) -> list[NodeAccount]:
        """Return all nodes, also those that have been unregistered: their keys stay known."""
        former = witnessed(self._state).former_keys.of_nodes()
        return [
            NodeAccount(
                node_id=info.node_id,
                public_key=info.public_key,
                status=info.status,
                former_keys=former.get(info.node_id, ()),
            )
            for info in self._state.get_node_info()
        ]


async def _visible_runs(
    state: Annotated[LinkState, Depends(get_linkstate)],
    account: Annotated[AccountInfo, Depends(get_account)],
) -> VisibleRuns:
    return VisibleRuns(state, account)


VisibleRunsDependency = Annotated[VisibleRuns, Depends(_visible_runs)]


def in_pages(rows: Sequence[RunAccount], size: int) -> Iterator[Sequence[RunAccount]]:
    """Yield rows in pages of a size."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _run(run: Run) -> RunAccount:
    status = run.status
    return RunAccount(
        run_id=run.run_id,
        series_id=run.series_id,
        status=f"{status.status}:{status.sub_status}" if status.sub_status else status.status,
        submitted_at=_seconds(run.pending_at),
        finished_at=_seconds(run.finished_at),
        from_run=str(run.override_config.get(FROM_RUN, "")),
    )


def _seconds(time: str) -> float:
    return datetime.datetime.fromisoformat(time).timestamp() if time else 0.0
