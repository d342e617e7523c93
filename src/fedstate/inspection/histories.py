"""The histories of states as one tidy table: of one run, or of all runs of a study."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from fedstate.inspection.errors import InspectionError
from fedstate.inspection.state import State
from fedstate.inspection.store import Store
from fedstate.inspection.tables import Table

COLUMNS = ("name", "entry", "round", "value")
STUDY_COLUMNS = ("run", "config", "seed", "node", "partition", *COLUMNS)


def histories_of(state: State, names: Sequence[str] | None = None) -> Table:
    """Return the histories of a state: a row for each entry, the oldest first.

    Parameters
    ----------
    state : State
        The state.
    names : sequence of str, optional
        Which histories; without it, all.

    Raises
    ------
    NotFoundError
        There is no such history.
    StateDamagedError, StoreDamagedError
        A history is not what was stored; it is named.
    """
    return Table(COLUMNS, list(_entries(state, names)))


def study(stores: Iterable[Store]) -> Table:
    """Return the histories of all runs of some stores: a row for each entry.

    The columns are ``run`` and ``node`` (IDs, as text: they have 64 bits), ``config`` (the run's
    configuration, as JSON), ``seed`` and ``partition`` (where the configurations of the run and
    of the node have such an entry), ``name`` of the history, the number of the ``entry`` from 0
    on, its ``round`` where it is known, and its ``value``. The state of a run that a later run of
    its series has taken over is in the table once, as that of the later run.

    Raises
    ------
    StateDamagedError, StoreDamagedError
        A history is not what was stored; it is named.
    InspectionError
        A store is among the stores twice.
    """
    rows: list[dict[str, Any]] = []
    seen: dict[str, Store] = {}
    for store in stores:
        if store.id in seen:
            raise InspectionError(
                f"'{store.path}' and '{seen[store.id].path}' are the same store, or a backup of "
                "it: its runs would be counted twice."
            )
        seen[store.id] = store
        for run in store.runs:
            if run.replaced_by is None:
                rows += _of_run(run.state())
    return Table(STUDY_COLUMNS, rows)


def _of_run(state: State) -> list[dict[str, Any]]:
    config = json.dumps(state.run_config, sort_keys=True)
    partition = state.node_config.get("partition-id")
    about = {
        "run": str(state.run_id),
        "config": config,
        "seed": _text(state.run_config.get("seed")),
        "node": str(state.node_id),
        "partition": partition if type(partition) is int else None,
    }
    return [about | entry for entry in _entries(state, None)]


def _entries(state: State, names: Sequence[str] | None) -> Iterable[dict[str, Any]]:
    for name in state.values.histories() if names is None else names:
        history = state.values.history(name)
        first = history.dropped
        for number, entry in enumerate(history, first):
            yield {
                "name": name,
                "entry": number,
                "round": entry.server_round,
                "value": entry.value,
            }


def _text(seed: object) -> str | None:
    return None if seed is None else str(seed)
