"""Runs that begin with the state of another run, as they ask for with ``from-run``.

Whose state a run may take is the node's operator's to say; see `FromRun`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from flwr.app import RecordDict

from fedstate.flower.nodestate import DurableNodeState
from fedstate.flower.runs import FROM_RUN, Fab, Run
from fedstate.store.keeping_store import Origin, StateNotKeptError
from fedstate.supernode.fab_names import UnreadableFabError, name_of


class FromRun(StrEnum):
    """Whose state a run may begin with."""

    NEVER = "never"
    SAME_APP = "same-app"
    ANY = "any"


class BeginningRefusedError(Exception):
    """A run cannot begin as it asks; the text says why, for whoever has started it."""


@dataclass(frozen=True)
class Beginning:
    """The state that a run begins with, and where it is from."""

    state: RecordDict
    origin: Origin


class Beginnings:
    """Finds the state with which a run asks to begin, if it may.

    Parameters
    ----------
    state : DurableNodeState
        The node state.
    allowed : FromRun
        Whose state a run may begin with.
    """

    def __init__(self, state: DurableNodeState, allowed: FromRun = FromRun.NEVER) -> None:
        self._state = state
        self._allowed = allowed

    def of(self, run: Run, fab: Fab) -> Beginning | None:
        """Return the state of another run that a run begins with; None if it asks for none.

        Raises
        ------
        BeginningRefusedError
            It asks for one and must not have it, or there is none.
        StoreError
            The store cannot be read.
        """
        asked = run.override_config.get(FROM_RUN, "")
        if asked == "":
            return None
        match = re.fullmatch(r"(\d+)(?:@(\d+))?", str(asked), re.ASCII)
        if match is None:
            raise BeginningRefusedError(
                f"from-run is {asked!r}, which is neither the ID of a run nor ID@STEP: give the "
                "first digits of a run's ID for its present state, and @7 after them for that of "
                "step 7"
            )
        if self._allowed is FromRun.NEVER:
            raise BeginningRefusedError(
                f"from-run={asked}: no run of this node may begin with another run's state; its "
                "operator can allow it with 'fedstate supernode --from-run same-app'"
            )
        source = self._named(match[1], run, fab)
        number = None if match[2] is None else int(match[2])
        return self._loaded(source, number)

    def _named(self, digits: str, run: Run, fab: Fab) -> int:
        """Return the run that the digits name, of those whose state the run may have."""
        named = [
            each.run_id
            for each in self._state.store.runs()
            if str(each.run_id).startswith(digits) and each.run_id != run.run_id
        ]
        exact = [run_id for run_id in named if str(run_id) == digits]
        # A run that must not be taken is not told from one that is not there.
        open_ = [run_id for run_id in exact or named if self._may_take(run_id, run, fab)]
        if len(open_) == 1:
            return open_[0]
        if open_:
            raise BeginningRefusedError(
                f"from-run={digits}: {len(open_)} runs of this node begin with these digits; "
                "give more of them"
            )
        whose = (
            "this node has no such run"
            if self._allowed is FromRun.ANY
            else "this node has no such run of the same app and account"
        )
        raise BeginningRefusedError(f"from-run={digits}: {whose}")

    def _may_take(self, source: int, run: Run, fab: Fab) -> bool:
        if self._allowed is FromRun.ANY:
            return True
        other = self._state.get_run(source)
        if other is None or other.flwr_aid != run.flwr_aid:
            return False
        if other.fab_hash == run.fab_hash:
            return True
        theirs = self._state.get_fab(other.fab_hash)
        try:
            return theirs is not None and (
                name_of(theirs.content).app == name_of(fab.content).app
            )
        except UnreadableFabError:
            return False

    def _loaded(self, source: int, number: int | None) -> Beginning:
        states = {kept.number for kept in self._state.store.kept_states(source)}
        if number is not None and number not in states:
            there = ", ".join(map(str, sorted(states))) or "none"
            raise BeginningRefusedError(
                f"from-run={source}@{number}: this node does not keep the state of that step; of "
                f"run {source} it has {there} ('fedstate supernode --keep N' keeps more)"
            )
        try:
            kept, context = self._state.kept_context(source, number)
        except StateNotKeptError as error:
            raise BeginningRefusedError(f"from-run={source}: {str(error).rstrip('.')}") from None
        return Beginning(context.state, Origin(source, kept.number))
