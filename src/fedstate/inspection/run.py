"""A run as a node's store has it: what became of it, its log, and the state that it left."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from fedstate.inspection.errors import InspectionError
from fedstate.inspection.source import Source
from fedstate.inspection.state import State, Values
from fedstate.inspection.tables import Table
from fedstate.state.errors import StateError
from fedstate.state.history import History
from fedstate.store.keeping_store import find_state
from fedstate.store.kept_states import KeptState, KeptStates
from fedstate.store.read_only import ReadOnlyStore
from fedstate.witness.receipts import Receipt
from fedstate.witness.record import COMMITTED, FAILED

RUNNING, FINISHED, UNKNOWN = "running", "finished", "unknown"


@dataclass(frozen=True)
class Step:
    """A row of a run in the node's log: a step that has ended, or what else made its state.

    Attributes
    ----------
    number : int
        1 for the first row of the run; steps that failed have one too.
    time : datetime
        When it ended, by the node's clock.
    round : int or None
        The server's round, where the message or the app's ledger says it.
    action : str
        The type of the message, such as ``train``.
    outcome, reason : str
        ``committed`` or ``failed``, and why it failed; of a row that is of no step, ``rolled
        back``, or ``begun`` with the state of another run.
    message_id : str
        The message.
    state_bytes, new_bytes : int
        The size of the state that it stored, and how much of it the store did not have yet.
    app_seconds, commit_seconds : float
        How long the ClientApp took, and the storing.
    generation : int
        The number of state commits of the store, this one included.
    """

    number: int
    time: datetime
    round: int | None
    action: str
    outcome: str
    reason: str
    message_id: str
    state_bytes: int
    new_bytes: int
    app_seconds: float
    commit_seconds: float
    generation: int

    @property
    def committed(self) -> bool:
        """Whether it is a step that stored a state."""
        return self.outcome == COMMITTED

    @property
    def failed(self) -> bool:
        """Whether it is a step that failed."""
        return self.outcome == FAILED

    @property
    def is_step(self) -> bool:
        """Whether it is an attempt at a step."""
        return self.committed or self.failed


class Log(list[Step]):
    """The steps of a run, the oldest first."""

    def table(self) -> Table:
        """Return a row for each step."""
        return Table(list(Step.__dataclass_fields__), [vars(step) for step in self])

    def frame(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row for each step."""
        return self.table().frame()


@dataclass(frozen=True)
class Run:
    """A run, as it was when the store was read.

    Attributes
    ----------
    id : int
        The run's ID, an unsigned number of 64 bits.
    series_id : int
        The run series.
    status : str
        ``running``, ``finished``, or ``unknown``: the SuperLink does not know the run.
    finished_at, unknown_since : datetime or None
        Since when it is one of the latter.
    size : int
        The bytes of the newest state; 0 where a later run of the series has replaced it.
    replaced_by : int or None
        The later run of the series that has the state now.
    """

    id: int
    series_id: int
    status: str
    finished_at: datetime | None
    unknown_since: datetime | None
    size: int
    replaced_by: int | None
    _rows: int
    _source: Source

    @cached_property
    def log(self) -> Log:
        """The steps that have ended, the oldest first, as far as the node keeps them.

        A rollback, and a beginning with the state of another run, have rows among them.

        Raises
        ------
        StoreDamagedError
            A row is not as it was written.
        """
        with self._source.reading() as store:
            rows = list(store.log().of_run(self.id))
        rounds = {} if all(row.record.group_id for row in rows) else self._rounds()
        return Log(_step(row, rounds) for row in rows)

    @cached_property
    def last_step(self) -> Step | None:
        """The newest step, or None."""
        return next((step for step in reversed(self.log) if step.is_step), None)

    @property
    def steps(self) -> int:
        """How many steps have ended, failed ones included, also those that are not kept."""
        return self._rows - sum(not step.is_step for step in self.log)

    @property
    def failures(self) -> int:
        """How many of the steps that the node keeps have failed."""
        return sum(step.failed for step in self.log)

    @property
    def rounds(self) -> int | None:
        """The newest round that a step is known to be of, or None where none is known."""
        known = (step.round for step in self.log if step.is_step and step.round is not None)
        return max(known, default=None)

    def state(self, at: int | None = None) -> State:
        """Return a state of the run: the newest one, or one that is kept.

        Parameters
        ----------
        at : int, optional
            The number of a kept state: that of the step that has stored it.

        Raises
        ------
        StateNotKeptError
            The store has no state of that number.
        InspectionError
            A later run of the series has replaced the state.
        StateDamagedError
            It cannot be read.
        """
        if self.replaced_by is not None:
            raise InspectionError(
                f"The state of run {self.id} went on in run {self.replaced_by} of the same "
                "series; look at that one."
            )
        with self._source.reading() as store:
            now = store.now
            states = KeptStates(now.db, now.rows, now.values, now.log).of_run(self.id)
            kept, value_id = find_state(states, self.id, at)
            return State.read(self._source, kept, value_id)

    @property
    def states(self) -> list[KeptState]:
        """The states that are kept, the oldest first, the present one last."""
        with self._source.reading() as store:
            return store.kept_states(self.id)

    @property
    def values(self) -> Values:
        """The values of the newest state, by name."""
        return self.state().values

    def history(self, name: str) -> History:
        """Return a history of the newest state.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """
        return self.values.history(name)

    def _rounds(self) -> Mapping[str, int | None]:
        """Return the rounds of messages, where the app keeps a ledger that can be read."""
        try:
            ledger = self.state().ledger if self.replaced_by is None else []
        except StateError:
            return {}
        return {entry.message_id: entry.round for entry in ledger}

    def __repr__(self) -> str:
        """Return ID and status."""
        return f"Run({self.id}, {self.status})"


def runs_of(source: Source, store: ReadOnlyStore) -> list[Run]:
    """Return the runs of a store, in the order in which they began."""
    now = store.now
    unknown = {row["run_id"]: _time(row["since"]) for row in now.rows.find("unknown_run")}
    contexts = {row["series_id"]: row for row in now.rows.find("context")}
    sizes = dict(now.db.execute("SELECT value_id, size FROM value").fetchall())
    chains = {chain.run_id: chain for chain in now.log.chains()}
    order = {run_id: place for place, run_id in enumerate(chains)}
    runs = []
    for row in now.rows.find("run"):
        run_id, finished_at = int(str(row["run_id"])), _time(row["finished_at"])
        since = unknown.get(row["run_id"])
        context = contexts.get(row["series_id"])
        holder = int(str(context["run_id"])) if context else run_id
        status = UNKNOWN if since else FINISHED if finished_at else RUNNING
        size = sizes.get(context["value_id"], 0) if context and holder == run_id else 0
        chain = chains.get(run_id)
        runs.append(
            Run(
                id=run_id,
                series_id=int(str(row["series_id"])),
                status=status,
                finished_at=finished_at,
                unknown_since=since,
                size=int(size),
                replaced_by=None if holder == run_id else holder,
                _rows=chain.length if chain else 0,
                _source=source,
            )
        )
    return sorted(runs, key=lambda run: order.get(run.id, -1))


def _step(row: Receipt, rounds: Mapping[str, int | None]) -> Step:
    record = row.record
    told = record.group_id
    return Step(
        number=record.run_sequence,
        time=datetime.fromtimestamp(record.time, UTC),
        round=int(told) if told.isdecimal() else rounds.get(record.message_id),
        action=record.action,
        outcome=record.outcome,
        reason=record.reason,
        message_id=record.message_id,
        state_bytes=record.state_bytes,
        new_bytes=record.new_bytes,
        app_seconds=record.app_seconds,
        commit_seconds=record.commit_seconds,
        generation=record.generation,
    )


def _time(column: object) -> datetime | None:
    return datetime.fromtimestamp(column, UTC) if isinstance(column, int | float) else None
