"""Whether a run may start on a node, and what the node keeps of it from then on."""

from collections.abc import Callable

import httpx
from flwr.app import Context, Error, RecordDict

# Run and FAB as flwr has them, and how it makes a run's config of both.
from flwr.app.user_config import UserConfig
from flwr.common.config import get_fused_config_from_fab
from flwr.common.constant import ErrorCode
from flwr.supercore.fab import Fab
from flwr.supercore.run import Run

from fedstate.flower.clients import reason_of
from fedstate.flower.nodestate import DurableNodeState
from fedstate.store.errors import StoreError, StoreFullError
from fedstate.supernode.link import Fleet

FabCheck = Callable[[Fab], str | None]


class Admission:
    """Take in the runs that a node has not seen yet.

    Parameters
    ----------
    state : DurableNodeState
        The node state.
    fleet : Fleet
        The session at the SuperLink.
    node_config : UserConfig
        The node's config, for the Context.
    fab_problem : callable
        Says why a FAB must not run on this node, or None if it may.
    """

    def __init__(
        self,
        state: DurableNodeState,
        fleet: Fleet,
        node_config: UserConfig,
        fab_problem: FabCheck,
    ) -> None:
        self._state = state
        self._fleet = fleet
        self._node_config = node_config
        self._fab_problem = fab_problem

    def problem_with(self, run_id: int) -> Error | None:
        """Make sure that the store has a run, its FAB and a Context, or say why it cannot.

        Raises
        ------
        RunNotRunningException
            The run has ended.
        """
        if self._state.get_run(run_id) is not None:
            return None
        try:
            run = self._fleet.run(run_id)
            fab = self._fleet.fab(run.fab_hash, run_id)
            if (problem := self._fab_problem(fab)) is not None:
                return Error(ErrorCode.INVALID_FAB, problem)
            self._state.add_run(run, fab, self._context(run, fab))
        except StoreFullError as error:
            return Error(ErrorCode.UNKNOWN, str(error))
        except StoreError:
            raise
        except httpx.HTTPError as error:
            return Error(ErrorCode.UNKNOWN, reason_of(error))
        except Exception as error:
            reason = f"The run cannot start on this node: {error}"
            return Error(ErrorCode.INVALID_FAB, reason)
        return None

    def _context(self, run: Run, fab: Fab) -> Context:
        """Return the Context of a run: new, or with the state of its series so far."""
        earlier = self._state.get_run_series_context(run.series_id)
        return Context(
            run_id=run.run_id,
            node_id=self._state.get_node_id(),
            node_config=self._node_config,
            state=earlier.state if earlier else RecordDict(),
            run_config=get_fused_config_from_fab(fab.content, run),
            series_id=run.series_id,
        )
