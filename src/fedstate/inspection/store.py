"""A node's store as a plain object: its runs, by any unambiguous beginning of their IDs."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fedstate.inspection.errors import NotFoundError
from fedstate.inspection.run import Run, runs_of
from fedstate.inspection.source import Source
from fedstate.inspection.state import State
from fedstate.inspection.tables import Table
from fedstate.store.cipher import read_key

_LISTED = 5


def open_store(
    path: str | os.PathLike[str], key: bytes | str | os.PathLike[str] | None = None
) -> "Store":
    """Open a node's store for reading; its SuperNode may run.

    Parameters
    ----------
    path : str or PathLike
        A state directory, or a file of ``fedstate state backup``.
    key : bytes or str or PathLike, optional
        Of an encrypted store the key (32 bytes), or the file that holds it.

    Returns
    -------
    Store
        Without more, each read sees what is committed then. In a ``with`` block everything is
        read from one commit, and nothing can be replaced while it is read.

    Raises
    ------
    StoreError
        There is no store, or its schema is that of another release.
    StoreDamagedError
        It cannot be read.
    StoreKeyError
        The key is missing or wrong.
    """
    secret = key if key is None or isinstance(key, bytes) else read_key(Path(key))
    return Store(Source(Path(path), secret))


class Store:
    """The store of a node.

    Attributes
    ----------
    path : Path
        Where it is.
    id : str
        The random name that the store got when it was created.
    node : str or None
        The fingerprint of the node's public key; None if no SuperNode has used the store yet.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.path = source.place
        with source.reading() as store:
            about = store.about
        self.id = about.store_id
        self.node = about.node

    @property
    def generation(self) -> int:
        """How many commits of a state there have been."""
        with self._source.reading() as store:
            row = store.now.db.execute("SELECT generation FROM store").fetchone()
        return int(row[0])

    @property
    def runs(self) -> "Runs":
        """The runs as they are now, in the order in which they began."""
        with self._source.reading() as store:
            return Runs(runs_of(self._source, store), str(self.path))

    def state(self, name: str) -> State:
        """Return a state by its name: a run (``12``), or a state that is kept (``12@7``).

        Raises
        ------
        NotFoundError
            There is no such run, or the name is no name of a state.
        StateNotKeptError
            The store does not have that state of the run.
        InspectionError, StateDamagedError, StoreDamagedError
            As for `Run.state`.
        """
        run, at, number = name.partition("@")
        if at and not number.isdecimal():
            raise NotFoundError(
                f"'{name}' names no state: give RUN, or RUN@N with the number of a step."
            )
        return self.runs[run].state(int(number) if at else None)

    def __enter__(self) -> Self:
        """Read what is committed now, until the end of the block."""
        self._source.hold()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of the store."""
        self.close()

    def close(self) -> None:
        """Let go of the store; what is read afterwards opens it again."""
        self._source.release()

    def __repr__(self) -> str:
        """Return where the store is."""
        return f"Store({str(self.path)!r})"


class Runs(Collection[Any]):
    """The runs of a store: ``runs["12"]``, or ``for run in runs``."""

    def __init__(self, runs: list[Run], place: str) -> None:
        self._runs = runs
        self._place = place

    def __len__(self) -> int:
        """Return how many runs there are."""
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        """Yield the runs, in the order in which they began."""
        return iter(self._runs)

    def __contains__(self, run: object) -> bool:
        """Return whether this is one of the runs, or the ID of one."""
        return any(run in (each, each.id, str(each.id)) for each in self._runs)

    def __getitem__(self, name: str | int) -> Run:
        """Return the run whose ID is this, or the only one whose ID begins with these digits.

        Raises
        ------
        NotFoundError
            No run has such an ID, or several have; it is a ``KeyError``, too.
        """
        digits = str(name)
        if not digits.isdecimal():
            raise NotFoundError(
                f"'{digits}' is no ID of a run, which is a number; '{self._place}' has "
                f"{self._listed(self._runs)}."
            )
        found = [run for run in self._runs if str(run.id).startswith(digits)]
        exact = [run for run in found if str(run.id) == digits]
        if not found:
            raise NotFoundError(
                f"'{self._place}' has no run whose ID begins with {digits}; it has "
                f"{self._listed(self._runs)}."
            )
        if len(found) > 1 and not exact:
            raise NotFoundError(
                f"{len(found)} runs have IDs that begin with {digits} "
                f"({self._listed(found)}); give more digits."
            )
        return (exact or found)[0]

    def table(self) -> Table:
        """Return a row for each run."""
        columns = ("run", "status", "rounds", "steps", "failures", "size_bytes", "last step")
        rows = []
        for run in self._runs:
            last = run.last_step
            rows.append(
                {
                    "run": str(run.id),
                    "status": run.status,
                    "rounds": run.rounds,
                    "steps": run.steps,
                    "failures": run.failures,
                    "size_bytes": run.size,
                    "last step": None if last is None else last.time,
                }
            )
        return Table(columns, rows)

    def frame(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row for each run."""
        return self.table().frame()

    def __repr__(self) -> str:
        """Return the IDs."""
        return f"Runs({self._listed(self._runs)})"

    @staticmethod
    def _listed(runs: list[Run]) -> str:
        ids = ", ".join(str(run.id) for run in runs[:_LISTED])
        more = f" and {len(runs) - _LISTED} more" if len(runs) > _LISTED else ""
        return f"{ids}{more}" or "none"
