"""What a node store does with the log of steps: failures, receipts, and what others ask of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedstate.store.step_log import Attempt, Chain, Ended
from fedstate.store.upkeep import UpkeptStore
from fedstate.store.values import StoredValue
from fedstate.witness.digests import state_digest
from fedstate.witness.receipts import Receipt
from fedstate.witness.record import COMMITTED, FAILED

# How often a state that is replaced while it is read is read again.
_TRIES = 3


@dataclass(frozen=True)
class Failure:
    """An attempt at a step that failed, and why."""

    run_id: int
    reason: str
    attempt: Attempt


@dataclass(frozen=True)
class Held:
    """What a store holds of a run at one moment.

    Attributes
    ----------
    chain : Chain
        Its log.
    present : bool
        Whether the store has the run.
    series_id : int
        Its run series; 0 if the store does not have the run.
    held_by : int
        The run that the Context of the series is of now; 0 if there is none.
    digest : bytes
        The digest of the Context's state, from its stored content; empty if it was not computed.
    problem : str
        Why it could not be computed.
    """

    chain: Chain
    present: bool = False
    series_id: int = 0
    held_by: int = 0
    digest: bytes = b""
    problem: str = ""


class LoggedStore(UpkeptStore):
    """A node store with its log of steps; see `StepLog`.

    Attributes
    ----------
    keep_log : int, optional
        How many rows of each run are kept; None for all of them, as long as the run is.
    """

    keep_log: int | None = None

    def record_failure(self, message_id: str, failure: Failure) -> None:
        """Write the row of an attempt at a step that failed.

        Raises
        ------
        StoreFullError
            There is no room for it.
        """
        with self._transaction():
            self._log_failure(message_id, failure)

    def _log_failure(self, message_id: str, failure: Failure) -> None:
        run_id = str(failure.run_id)
        run = self._rows.one("run", run_id)
        series_id = str(run["series_id"]) if run else "0"
        ended = Ended(run_id, series_id, message_id, FAILED, self.generation, failure.reason)
        self._steps.append(ended, failure.attempt, self.keep_log)

    def _log_commit(
        self,
        message_id: str,
        run_id: str,
        series_id: int,
        state: StoredValue,
        generation: int,
        attempt: Attempt,
    ) -> None:
        ended = Ended(
            *(run_id, str(series_id), message_id, COMMITTED, generation, ""),
            *(state.digest, state.size, state.new_bytes),
        )
        self._steps.append(ended, attempt, self.keep_log)

    def receipt(self, message_id: str) -> Receipt | None:
        """Return the row of the last attempt at a step, with its signature if it has one."""
        with self._reading() as now:
            return now.log.of_message(message_id)

    def last_row(self) -> Receipt | None:
        """Return the newest row of the log that is kept, or None."""
        with self._reading() as now:
            return now.log.last()

    def unsigned_rows(self, limit: int) -> list[Receipt]:
        """Return rows without a signature whose steps have ended: nobody has their receipts."""
        with self._reading() as now:
            under_way = {
                str(row["message_id"])
                for status in ("received", "committed")
                for row in now.rows.find("step", status=status)
            }
            rows = now.log.unsigned(limit + len(under_way))
        return [row for row in rows if row.record.message_id not in under_way][:limit]

    def note_signatures(self, receipts: Sequence[Receipt]) -> None:
        """Add signatures to rows that have none."""
        with self._transaction():
            for receipt in receipts:
                self._steps.note_signature(receipt.record.sequence, receipt.signature)

    def chains(self) -> list[Chain]:
        """Return what is known of the log of each run, in the order in which they began."""
        with self._reading() as now:
            return now.log.chains()

    def rows_after(self, sequence: int, run_ids: Sequence[int], limit: int) -> list[Receipt]:
        """Return rows of the log in their order, without signature where none was noted.

        Parameters
        ----------
        sequence : int
            The number in the store of the row that they follow; 0 to begin.
        run_ids : sequence of int
            The runs; if it is empty, all.
        limit : int
            How many to return at most.
        """
        with self._reading() as now:
            return now.log.after(sequence, run_ids, limit)

    def free_stray(self, run_id: int) -> bool:
        """Remove the rows of a run that the node never had or has freed.

        Returns
        -------
        bool
            Whether there were any.
        """
        with self._reading() as now:
            if str(run_id) not in now.log.strays():
                return False
        self._with_reserve(lambda: self._free_stray(str(run_id)))
        return True

    def _free_stray(self, run_id: str) -> None:
        with self._transaction():
            self._steps.free(run_id)

    def held(
        self,
        run_id: int,
        describe: Callable[[bytes], bytes] | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> Held:
        """Return what the store holds of a run at one moment.

        A state is read chunk by chunk: nobody waits for more than one of them.

        Parameters
        ----------
        run_id : int
            The run.
        describe : callable, optional
            Returns the description of a state from the header of its Context; without it no
            digest is computed.
        progress : callable
            Is called after each chunk.

        Raises
        ------
        StoreDamagedError
            The stored content is not what was stored.
        """
        for _ in range(_TRIES):
            with self._reading() as now:
                chain = now.log.chain(run_id) or Chain(run_id, False, 0, 0, b"", b"")
                run = now.rows.one("run", str(run_id))
                if run is None:
                    return Held(chain)
                series_id = int(str(run["series_id"]))
                context = now.rows.one("context", str(series_id))
                if context is None:
                    return Held(chain, True, series_id)
                held = Held(chain, True, series_id, int(str(context["run_id"])))
                if describe is None:
                    return held
                header, count, chunks = now.values.layout(int(str(context["value_id"])))
            blobs: list[list[bytes]] = [[] for _ in range(count)]
            for blob, address in chunks:
                with self._reading() as now:
                    content = now.values.chunk_content(address)
                if content is None:
                    break
                blobs[blob].append(content)
                progress()
            else:
                return Held(*_fields(held), state_digest(describe(header), blobs))
        return Held(*_fields(held), b"", "It was replaced while it was being read.")


def _fields(held: Held) -> tuple[Chain, bool, int, int]:
    return held.chain, held.present, held.series_id, held.held_by
