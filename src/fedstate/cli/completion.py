"""What a shell completes: numbers of nodes, IDs of runs and names of values, from the stores.

Whatever goes wrong, nothing is completed: a shell has no place for a sentence.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer


def nodes(incomplete: str) -> list[str]:
    """Return the nodes of the local federation whose number begins so."""
    from fedstate.cli.place import local_stores

    found: list[int] = []
    with contextlib.suppress(OSError):
        found = sorted(local_stores())
    return [str(number) for number in found if str(number).startswith(incomplete)]


def run_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Return the IDs that begin so, of the runs in the store that the command line names."""
    from fedstate.errors import FedstateError
    from fedstate.store.read_only import read_only

    found: list[str] = []
    with contextlib.suppress(FedstateError, OSError):
        for place in _places(context):
            with read_only(place, _key(context)) as store:
                found += [str(chain.run_id) for chain in store.chains()]
    return [each for each in dict.fromkeys(found) if each.startswith(incomplete)]


def value_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names that begin so, of the values of the run that the command line names."""
    from fedstate.errors import FedstateError
    from fedstate.inspection import open_store

    found: list[str] = []
    with contextlib.suppress(FedstateError, OSError):
        for place in _places(context):
            with open_store(place, _key(context)) as store:
                found += store.runs[context.params.get("run") or ""].values
    return [each for each in dict.fromkeys(found) if each.startswith(incomplete)]


def _key(context: typer.Context) -> bytes | None:
    from fedstate.cli.place import key_of

    # As it was typed: a parameter is not converted while a line is completed.
    file = context.params.get("key")
    return key_of(Path(file)) if file else None


def _places(context: typer.Context) -> Iterator[Path]:
    """Yield the store that is named; without any, those of all nodes here."""
    from fedstate.cli.place import local_stores

    states, numbers = (_all(context.params.get(name)) for name in ("state", "node"))
    yield from map(Path, states)
    if not states:
        for number, place in local_stores().items():
            if not numbers or number in map(int, numbers):
                yield place


def _all(value: Any) -> list[Any]:
    """Return the values of an option that may be given once, several times or not at all."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
