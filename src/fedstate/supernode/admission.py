"""Whether a run may start on a node, and what the node keeps of it from then on."""

import hashlib
from collections.abc import Callable

from flwr.app import Context, Error, RecordDict

from fedstate.flower.errors import (
    ErrorCode,
    RunEndedError,
    SuperLinkError,
    UnauthorizedError,
)
from fedstate.flower.nodestate import DurableNodeState
from fedstate.flower.runs import Fab, Run, UserConfig, first_context
from fedstate.logs import logger
from fedstate.store.errors import StoreError, StoreFullError
from fedstate.supernode.beginnings import Beginning, BeginningRefusedError, Beginnings
from fedstate.supernode.link import Link

FabCheck = Callable[[Fab], str | None]


class Admission:
    """Take in the runs that a node has not seen yet, and look again at those that it has.

    Parameters
    ----------
    state : DurableNodeState
        The node state.
    link : Link
        The node's runs and messages at the SuperLink.
    node_config : UserConfig
        The node's config, for the Context.
    fab_problem : callable
        Says why a FAB must not run on this node, or None if it may.
    beginnings : Beginnings, optional
        Finds the state of another run that a run asks to begin with; None if none may.
    rules : callable
        Returns the number of the rules by which `fab_problem` says so, another one when they have
        changed; None if there are none.

    Attributes
    ----------
    on_row : callable
        Is called when a row was written into the log.
    """

    def __init__(
        self,
        state: DurableNodeState,
        link: Link,
        node_config: UserConfig,
        fab_problem: FabCheck,
        rules: Callable[[], int | None] = lambda: None,
        beginnings: Beginnings | None = None,
    ) -> None:
        self._state = state
        self._link = link
        self._node_config = node_config
        self._fab_problem = fab_problem
        self._rules = rules
        self._beginnings = beginnings or Beginnings(state)
        self.on_row: Callable[[], None] = lambda: None
        # By which rules the FAB that the store has under a hash was found good.
        self._found_good: dict[str, int] = {}

    def problem_with(self, run_id: int) -> Error | None:
        """Make sure that the store has a run, its FAB and a Context, or say why it cannot.

        Raises
        ------
        RunEndedError
            The run has ended.
        UnauthorizedError
            The SuperLink does not accept the node's key any longer.
        StoreError
            The store cannot be used.
        """
        if self._state.get_run(run_id) is not None:
            # `problem_now` has a word when its step starts: a reply that is committed is sent.
            return None
        try:
            run = self._link.run(run_id)
            fab = self._link.fab(run.fab_hash, run_id)
            if (problem := self._problem(run, fab)) is not None:
                return Error(ErrorCode.INVALID_FAB, problem)
            beginning = self._beginnings.of(run, fab)
            origin = None if beginning is None else beginning.origin
            self._state.add_run(run, fab, self._context(run, fab, beginning), origin)
            if origin is not None:
                logger.info(
                    "Run %s begins with state %s of run %s, as it asks.",
                    *(run_id, origin.number, origin.run_id),
                )
                self.on_row()
        except (RunEndedError, UnauthorizedError):
            raise
        except (StoreFullError, SuperLinkError) as error:
            return Error(ErrorCode.UNKNOWN, str(error))
        except StoreError:
            raise
        except BeginningRefusedError as error:
            return Error(ErrorCode.UNKNOWN, f"The run cannot start on this node: {error}.")
        except Exception as error:
            reason = f"The run cannot start on this node: {error}"
            return Error(ErrorCode.INVALID_FAB, reason)
        return None

    def problem_now(self, run_id: int) -> Error | None:
        """Say why a run that the store has must not go on, or None.

        It is the FAB in the store that is looked at, which is what a ClientApp is started from:
        once for each change of the rules, and not at all without rules.

        Raises
        ------
        StoreError
            The store cannot be used.
        """
        run, rules = self._state.get_run(run_id), self._rules()
        if run is None or rules is None or self._found_good.get(run.fab_hash) == rules:
            return None
        fab = self._state.get_fab(run.fab_hash)
        if fab is None:
            return Error(ErrorCode.INVALID_FAB, "The FAB of the run is not on this node.")
        if (problem := self._problem(run, fab)) is not None:
            return Error(ErrorCode.INVALID_FAB, problem)
        self._found_good[run.fab_hash] = rules
        return None

    def _problem(self, run: Run, fab: Fab) -> str | None:
        found = hashlib.sha256(fab.content).hexdigest()
        if found != run.fab_hash:
            return f"The FAB has the hash {found}, and the run's is {run.fab_hash}."
        return self._fab_problem(fab)

    def _context(self, run: Run, fab: Fab, beginning: Beginning | None) -> Context:
        """Return the Context of a run: new, or with the state of its series so far.

        A run that asks for another run's state begins with that one.
        """
        state = beginning.state if beginning else self._state_of_series(run)
        return first_context(
            run,
            fab,
            node_id=self._state.get_node_id(),
            node_config=self._node_config,
            state=state,
        )

    def _state_of_series(self, run: Run) -> RecordDict:
        earlier = self._state.get_run_series_context(run.series_id)
        return earlier.state if earlier else RecordDict()
