"""The node store: runs, their Contexts, and the steps between a message and its reply.

A step is one message of a run. It is *received* when its message is durable, *committed* when
the state that it made and its reply are durable, in one transaction, and *answered* when the
SuperLink has the reply. A step that fails is forgotten: it left no state. However it ends, it
leaves a row in the log.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fedstate.failpoints import reach
from fedstate.store.ended_runs import EndedRunsStore
from fedstate.store.keeping_store import KeepingStore, Origin
from fedstate.store.kept_states import state_bytes
from fedstate.store.logged_store import Failure
from fedstate.store.rows import Column, Row
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value
from fedstate.witness.record import BEGUN

# A server asks again only for the step that it waits for; one more is kept to be safe.
_REPLIES_KEPT = 2

_UNKNOWN = Attempt()


@dataclass(frozen=True)
class StoredStep:
    """A message of a run, and how far it has come.

    Attributes
    ----------
    message_id : str
        The message's ID; a message that is sent again has the same.
    run_id : int
        The run.
    status : str
        ``received``, ``committed`` or ``answered``.
    """

    message_id: str
    run_id: int
    status: str


@dataclass(frozen=True)
class Commit:
    """What came of a commit: its number, and the digest of the state that it stored.

    The state's size is in bytes; new are those that the store did not have before.
    """

    generation: int
    digest: bytes
    size: int
    new_bytes: int


@dataclass(frozen=True)
class StoredRun:
    """What the store knows of a run."""

    run_id: int
    series_id: int
    fab_hash: str
    finished_at: float | None


class NodeStore(KeepingStore, EndedRunsStore):
    """The durable state of one SuperNode; see `StoreFile` for opening it.

    Every method that changes something is durable when it returns, and changes nothing when it
    raises: `StoreFullError` if there is no room, `StoreDamagedError` if what it had to read is
    damaged, `StoreError` if the disk failed.
    """

    def add_run(
        self,
        run: StoredRun,
        record: Value,
        fab: Value,
        context: Value,
        *,
        origin: Origin | None = None,
        node_id: int = 0,
    ) -> int:
        """Store a run, its FAB, and the Context that it starts with; return the commit's number.

        Parameters
        ----------
        run : StoredRun
            The run; `finished_at` is None.
        record : Value
            The run as the SuperLink describes it.
        fab : Value
            The FAB, stored once for all runs of it.
        context : Value
            The Context, which replaces that of an earlier run of the series.
        origin : Origin, optional
            The state of another run that the Context begins with, which the log then says.
        node_id : int
            The node, for the log.
        """
        run_id, series_id = str(run.run_id), str(run.series_id)
        with (
            self._storing(record, fab, context) as (new_record, new_fab, new_context),
            self._transaction(commits_state=True) as generation,
        ):
            if self._rows.one("fab", run.fab_hash) is None:
                self._rows.put(
                    "fab", {"fab_hash": run.fab_hash, "value_id": self._values.put(new_fab)}
                )
            row: Row = {"run_id": run_id, "series_id": series_id, "fab_hash": run.fab_hash}
            row |= {"value_id": self._values.put(new_record), "finished_at": None}
            self._rows.put("run", row)
            self._steps.begin(run_id)
            state = self._put_context(series_id, run_id, new_context, generation)
            if origin is not None:
                self._log_state(BEGUN, series_id, run.run_id, state, generation, origin, node_id)
            self._kept.made(run_id, generation, state, "", self.keep)
        return generation

    def runs(self) -> list[StoredRun]:
        """Return the runs that the store holds."""
        with self._reading() as now:
            return [_run(row) for row in now.rows.find("run")]

    def run_record(self, run_id: int) -> bytes | None:
        """Return the run as the SuperLink described it, or None."""
        with self._reading() as now:
            row = now.rows.one("run", str(run_id))
            return now.values.header(_number(row["value_id"])) if row else None

    def fab(self, fab_hash: str) -> Value | None:
        """Return a FAB, or None."""
        with self._reading() as now:
            row = now.rows.one("fab", fab_hash)
            return now.values.get(_number(row["value_id"])) if row else None

    def context(self, series_id: int) -> Value | None:
        """Return the committed Context of a run series, or None."""
        with self._reading() as now:
            row = now.rows.one("context", str(series_id))
            return now.values.get(_number(row["value_id"])) if row else None

    def state(self, series_id: int) -> tuple[Value, list[list[bytes]]] | None:
        """Return a committed Context with the SHA-256 of each blob's chunks, or None."""
        with self._reading() as now:
            row = now.rows.one("context", str(series_id))
            return now.values.get_state(_number(row["value_id"])) if row else None

    def context_header(self, series_id: int) -> bytes | None:
        """Return the committed Context of a run series without its arrays, or None."""
        with self._reading() as now:
            row = now.rows.one("context", str(series_id))
            return now.values.header(_number(row["value_id"])) if row else None

    def context_generation(self, series_id: int) -> int | None:
        """Return the number of the commit that stored the Context of a run series, or None."""
        with self._reading() as now:
            row = now.rows.one("context", str(series_id))
            return _number(row["generation"]) if row else None

    def set_context(self, series_id: int, run_id: int, context: Value) -> int:
        """Store a Context outside of any step; return the commit's number."""
        with (
            self._storing(context) as (new_context,),
            self._transaction(commits_state=True) as generation,
        ):
            self._put_context(str(series_id), str(run_id), new_context, generation)
        return generation

    def receive(self, message_id: str, run_id: int, message: Value) -> None:
        """Store a message that was pulled, as the last of its run.

        A message that comes again changes nothing, but one that was answered is committed once
        more: its reply is due again. A run that gets a message has not ended, whatever was noted
        before.
        """
        with self._storing(message) as (new_message,), self._transaction():
            self.room.need()
            run = self._rows.one("run", str(run_id))
            if run is not None and run["finished_at"] is not None:
                self._rows.put("run", run | {"finished_at": None})
            step = self._rows.one("step", message_id)
            if step is not None and step["status"] == "answered":
                due: Row = {"status": "committed", "message_value": self._values.put(new_message)}
                self._rows.put("step", step | due)
            if step is not None:
                return
            last = self._db.execute("SELECT coalesce(max(sequence), 0) FROM step").fetchone()
            row: Row = {"message_id": message_id, "run_id": str(run_id)}
            row |= {"sequence": last[0] + 1, "status": "received", "reply_value": None}
            self._rows.put("step", row | {"message_value": self._values.put(new_message)})

    def steps(self, status: str) -> list[StoredStep]:
        """Return the steps with a `status`, in the order of their messages."""
        with self._reading() as now:
            return [_step(row) for row in now.rows.find("step", "sequence", status=status)]

    def step(self, message_id: str) -> StoredStep | None:
        """Return the step of a message, or None."""
        with self._reading() as now:
            row = now.rows.one("step", message_id)
            return _step(row) if row else None

    def message(self, message_id: str) -> bytes | None:
        """Return the header of a message that is not answered yet, or None."""
        with self._reading() as now:
            row = now.rows.one("step", message_id)
            if row is None or row["message_value"] is None:
                return None
            return now.values.header(_number(row["message_value"]))

    def reply(self, message_id: str) -> Value | None:
        """Return the stored reply to a message, or None."""
        with self._reading() as now:
            row = now.rows.one("step", message_id)
            if row is None or row["reply_value"] is None:
                return None
            return now.values.get(_number(row["reply_value"]))

    def commit(
        self,
        message_id: str,
        series_id: int,
        context: Value,
        reply: Value,
        attempt: Attempt = _UNKNOWN,
    ) -> Commit:
        """Store the state that a step made, its reply and its row in the log, all or nothing.

        Raises
        ------
        LookupError
            The store has no such message.
        StoreFullError
            There is no room; the old state is still there.
        """
        with (
            self._storing(context, reply) as (new_context, new_reply),
            self._transaction(commits_state=True) as generation,
        ):
            row = self._rows.one("step", message_id)
            if row is None:
                raise LookupError(f"The node store has no message '{message_id}'.")
            run_id = str(row["run_id"])
            state = self._put_context(str(series_id), run_id, new_context, generation)
            done: Row = {"status": "committed", "reply_value": self._values.put(new_reply)}
            self._rows.put("step", row | done)
            self._drop_old_replies(run_id)
            self._log_commit(message_id, run_id, series_id, state, generation, attempt)
            self._kept.made(run_id, generation, state, attempt.group_id, self.keep)
        return Commit(generation, state.digest, state.size, state.new_bytes)

    def _drop_old_replies(self, run_id: str) -> None:
        answered = self._rows.find("step", "sequence DESC", run_id=run_id, status="answered")
        with_reply = [row for row in answered if row["reply_value"] is not None]
        for row in with_reply[_REPLIES_KEPT - 1 :]:
            self._rows.put("step", row | {"reply_value": None})
            self._values.release(_number(row["reply_value"]))

    def answered(self, message_id: str, signature: bytes = b"") -> None:
        """Note that the SuperLink has the reply to a message, and its receipt's signature."""
        self._with_reserve(lambda: self._answered(message_id, signature))

    def _answered(self, message_id: str, signature: bytes) -> None:
        with self._transaction():
            if signature:
                self._steps.sign(message_id, signature)
            if row := self._rows.one("step", message_id):
                self._rows.put("step", row | {"status": "answered", "message_value": None})
                if row["message_value"] is not None:
                    self._values.release(_number(row["message_value"]))

    def forget(
        self, message_id: str, signature: bytes = b"", failure: Failure | None = None
    ) -> None:
        """Drop a message whose step failed or whose run ended.

        Parameters
        ----------
        message_id : str
            The message.
        signature : bytes
            That of the receipt, if it was sent.
        failure : Failure, optional
            The row to write, if that was not possible before.
        """
        # A run of which a step stays under way could not be freed.
        self._with_reserve(lambda: self._forget(message_id, signature, failure))

    def _forget(self, message_id: str, signature: bytes, failure: Failure | None) -> None:
        with self._transaction():
            if failure is not None:
                self._log_failure(message_id, failure)
            if signature:
                self._steps.sign(message_id, signature)
            if row := self._rows.one("step", message_id):
                self._delete_step(row)

    def _delete_step(self, row: Row) -> None:
        self._rows.delete("step", row["message_id"])
        for value in (row["message_value"], row["reply_value"]):
            if value is not None:
                self._values.release(_number(value))

    def finished_bytes(self) -> Iterator[tuple[StoredRun, int]]:
        """Yield the finished runs, the first to finish first, with the bytes of their state."""
        with self._reading() as now:
            finished = now.db.execute(
                "SELECT run_id FROM run WHERE finished_at IS NOT NULL ORDER BY finished_at"
            ).fetchall()
            rows = [now.rows.one("run", run_id) for (run_id,) in finished]
            runs = [_run(row) for row in rows if row is not None]
            sizes = [state_bytes(now.db, run.run_id, run.series_id) for run in runs]
        yield from zip(runs, sizes, strict=True)

    def free_run(self, run_id: int) -> None:
        """Remove a run, and its Context unless another run of its series needs it.

        Raises
        ------
        ValueError
            The run has not ended, as far as this node knows, and the SuperLink knows it.
        """
        self._with_reserve(lambda: self._free_run(run_id))

    def _free_run(self, run_id: int) -> None:
        with self._transaction(commits_state=True, makes_room=True):
            row = self._rows.one("run", str(run_id))
            if row is None:
                return
            unknown = self._rows.one("unknown_run", str(run_id))
            if row["finished_at"] is None and unknown is None:
                raise ValueError(f"Run {run_id} is still going; its state is not freed.")
            for step in self._rows.find("step", run_id=str(run_id)):
                self._delete_step(step)
            self._steps.free(str(run_id))
            self._kept.free(str(run_id))
            self._rows.delete("run", str(run_id))
            self._values.release(_number(row["value_id"]))
            if not self._rows.find("run", series_id=row["series_id"]):
                self._drop("context", row["series_id"])
            if not self._rows.find("run", fab_hash=row["fab_hash"]):
                self._drop("fab", row["fab_hash"])
            reach("retention")

    def _drop(self, table: str, key: Column) -> None:
        if row := self._rows.one(table, key):
            self._rows.delete(table, key)
            self._values.release(_number(row["value_id"]))


def _number(column: object) -> int:
    if not isinstance(column, int):
        raise TypeError(f"A number was expected in the node store, not {column!r}.")
    return column


def _step(row: Row) -> StoredStep:
    return StoredStep(
        message_id=str(row["message_id"]),
        run_id=int(str(row["run_id"])),
        status=str(row["status"]),
    )


def _run(row: Row) -> StoredRun:
    finished = row["finished_at"]
    return StoredRun(
        run_id=int(str(row["run_id"])),
        series_id=int(str(row["series_id"])),
        fab_hash=str(row["fab_hash"]),
        finished_at=float(finished) if isinstance(finished, int | float) else None,
    )
