"""One step of a client as a transaction on its Context: all of it is kept, or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from flwr.app import ArrayRecord, Context, Message

from fedstate.logs import logger
from fedstate.state.client_state import ClientState
from fedstate.state.codecs.registry import codecs
from fedstate.state.content import (
    check_content,
    check_state,
    damage,
    read_manifest,
    record_digests,
)
from fedstate.state.digest import Digester, combine
from fedstate.state.errors import (
    StateError,
    StateFitError,
    StateNameError,
    StateOwnerError,
    StateTypeError,
    StateUsageError,
    StateVersionError,
)
from fedstate.state.ledger import Ledger, LedgerEntry, server_round
from fedstate.state.size import check_size
from fedstate.state.snapshot import Snapshot

# With this key of its config a run asks to begin with the state of another one: see
# `fedstate.supernode.beginnings`, where a node gives it that.
FROM_RUN = "from-run"

_LARGE_BYTES = 2**20

# What is wrong with a state that another app, or another version of this one, has left.
_DOES_NOT_FIT = (StateFitError, StateNameError, StateTypeError, StateVersionError)
_BEGUN = "This run began with the state that run {} left, as from-run asks: does it fit this app?"


# The states that are open now, by the identity of their Context, which cannot be hashed.
_open: dict[int, "Transaction"] = {}


class Transaction:
    """The step under way on one Context.

    Attributes
    ----------
    begun_from : int | None
        The run whose state this one begins with, as long as it has committed nothing itself.
    """

    begun_from: int | None = None

    def __init__(self, message: Message, context: Context) -> None:
        self.message = message
        self.context = context
        self.digester = Digester()
        self.snapshot = Snapshot(context)
        self._manifest = read_manifest(context.state)
        self._unchecked: dict[str, tuple[ArrayRecord, ArrayRecord]] = {}
        # What is compared at the end is what was loaded; what comes before a run's first commit
        # is not in its ledger.
        self.ledger, self.parent, self._loaded = self._load()
        sequence = self.ledger.last.sequence if self.ledger.lines else 0
        self.state = ClientState(
            context, self._manifest, server_round(message), sequence, self.check
        )

    def check(self, name: str) -> None:
        """Check a large record that was not checked on opening, unless it was replaced.

        Raises
        ------
        StateDamagedError
            If it is not as the last commit left it.
        """
        if name not in self._unchecked:
            return
        record, as_opened = self._unchecked.pop(name)
        if self.context.state.get(name) is record:
            digest = self.digester.record(name, as_opened, self._manifest[name].fixed)
            if digest != self._accounted[name]:
                raise damage(self._found, {**self._accounted, name: digest})

    def commit(self, ledger_limit: int | None) -> None:
        """Write back what changed, and account for it in the ledger; nothing if nothing did."""
        context, message, ledger = self.context, self.message, self.ledger
        manifest = self.state.write_back()
        for name in list(self._unchecked):
            self.check(name)
        check_size(context)
        digests = record_digests(context.state, self.digester, manifest)
        digest = combine(digests)
        if digest == self._loaded:
            self.snapshot.restore()
            return
        entry = LedgerEntry(
            sequence=self.state.sequence + 1,
            run_id=context.run_id,
            node_id=context.node_id,
            action=message.metadata.message_type,
            round=self.state.server_round,
            message_id=message.metadata.message_id,
            parent=self.parent,
            digest=digest,
        )
        ledger.lines.append(entry.to_json())
        if ledger_limit is not None:
            del ledger.lines[:-ledger_limit]
        ledger.digests = digests
        ledger.write(context.state)
        self.state.entry = entry

    def _load(self) -> tuple[Ledger, str, str]:
        """Return the ledger to continue, its newest digest, and that of what was loaded.

        All is checked.
        """
        context, run_id = self.context, self.message.metadata.run_id
        if run_id != context.run_id:
            raise StateOwnerError(
                f"The message is of run {run_id} and the Context of run {context.run_id}; two "
                "runs of one series use the same Context at the same time, which Flower cannot "
                "keep apart. Run them one after the other, or in series of their own."
            )
        ledger = Ledger.read(context.state)
        if ledger is None:
            check_state(context.state)
            if not context.state and _asks_for_a_run(context):
                logger.warning(
                    "Client state: run %d asks by %s=%s for the state of another run, and begins "
                    "with none: this node has given it none, as Flower's own SuperNode would.",
                    *(context.run_id, FROM_RUN, context.run_config[FROM_RUN]),
                )
            digest = combine(record_digests(context.state, self.digester, self._manifest))
            return self._new_ledger(), digest, digest
        # As it was found: a run that begins with another's state has a ledger of its own.
        self._found, self._accounted = ledger, ledger.digests
        self._put_off(ledger)
        known = {name: ledger.digests[name] for name in self._unchecked}
        check_content(context.state, ledger, self.digester, self._manifest, known)
        last = ledger.last
        if last.run_id != context.run_id:
            return self._inherit(ledger, last)
        if last.node_id != context.node_id:
            raise _of_another_node(last, context)
        return ledger, last.digest, last.digest

    def _put_off(self, ledger: Ledger) -> None:
        """Put off checking large values until they are read, or else until the commit.

        Most steps replace most of a large state without reading it, and hashing is the most of
        what a step costs. A copy of the record's arrays, not of their bytes, is kept to check:
        the record itself is open to the app.
        """
        for name, stored in self._manifest.items():
            record = self.context.state[name]
            if isinstance(record, ArrayRecord) and name in ledger.digests:
                changing = (a for key, a in record.items() if key not in stored.fixed)
                if sum(len(array.data) for array in changing) >= _LARGE_BYTES:
                    self._unchecked[name] = (record, ArrayRecord(dict(record)))

    def _inherit(self, ledger: Ledger, last: LedgerEntry) -> tuple[Ledger, str, str]:
        """Return the ledger for a run that finds the state of another."""
        context = self.context
        if _asks_for_a_run(context):
            # The node has given it what it asked for; what it goes on with is its own.
            logger.info(
                "Client state: run %d begins with the state that run %d left (commit %d), as "
                "it asks by %s.",
                *(context.run_id, last.run_id, last.sequence, FROM_RUN),
            )
            self.begun_from = last.run_id
            self._check_codecs()
            return self._new_ledger(), "", last.digest
        if last.node_id != context.node_id:
            raise _of_another_node(last, context)
        if not context.series_id or ledger.series_id != context.series_id:
            raise StateOwnerError(
                f"The state belongs to run {last.run_id} and the Context to run "
                f"{context.run_id}, which is not in its series: another run's state was put in "
                "its place."
            )
        if context.run_id in ledger.replaced_runs:
            raise StateOwnerError(
                f"The state of run {context.run_id} was replaced by run {last.run_id} of the "
                f"same series {context.series_id}, which started fresh; Flower keeps one "
                "Context per series, so its runs must follow one another."
            )
        logger.warning(
            "Client state: run %d starts fresh, without the state of run %d of the same series "
            "%d. To begin with it, ask for it: from-run=%d in the run's config.",
            *(context.run_id, last.run_id, context.series_id, last.run_id),
        )
        context.state.clear()
        replaced = [run for run in ledger.replaced_runs if run != last.run_id]
        return self._new_ledger([*replaced, last.run_id]), "", ""

    def _check_codecs(self) -> None:
        """Check that this app can read each value of the state that another run left."""
        problems = []
        for name, stored in self._manifest.items():
            try:
                codecs.check(stored.tag, stored.version)
            except StateError as error:
                problems.append(f"{name!r}: {error}")
        if problems:
            raise StateFitError(
                f"The state that this run begins with does not fit this app. "
                f"{'; '.join(problems)}."
            )

    def _new_ledger(self, replaced: list[int] | None = None) -> Ledger:
        return Ledger(self.context.series_id, replaced or [], {}, [])


def _asks_for_a_run(context: Context) -> bool:
    return context.run_config.get(FROM_RUN, "") != ""


def _of_another_node(last: LedgerEntry, context: Context) -> StateOwnerError:
    return StateOwnerError(
        f"The state belongs to node {last.node_id} and the Context to node "
        f"{context.node_id}: another node's state was put in its place."
    )


@contextmanager
def open_state(
    message: Message,
    context: Context,
    *,
    ledger_limit: int | None = None,
) -> Iterator[ClientState]:
    """Open a client's state for one step, which commits when the block ends.

    A step that changed nothing commits nothing. If the block raises, ``context.state`` is again
    what it was, to the byte.

    Parameters
    ----------
    message : Message
        The message that the step answers.
    context : Context
        The Context that Flower gave the handler.
    ledger_limit : int | None
        How many ledger entries to keep, the newest; None keeps all.

    Yields
    ------
    ClientState
        The state, a dictionary of values.

    Raises
    ------
    StateDamagedError
        If the content does not match its digest, or cannot be read.
    StateOwnerError
        If it belongs to another run or node.
    StateVersionError
        If a newer fedstate wrote it.
    StateTypeError
        At the end of the block, if something was put into it that cannot be stored.
    StateUsageError
        If it is open already.
    StateFitError
        If the run begins with the state of another one, and the app cannot read a value in it.

    Examples
    --------
    >>> with open_state(message, context) as state:  # doctest: +SKIP
    ...     state.history("loss").append(0.25)
    """
    _check_arguments(message, context, ledger_limit)
    transaction = Transaction(message, context)
    _open[id(context)] = transaction
    try:
        yield transaction.state
        if transaction.state.is_discarded:
            transaction.snapshot.restore()
        else:
            transaction.commit(ledger_limit)
    except BaseException as error:
        transaction.state.entry = None
        transaction.snapshot.restore()
        if transaction.begun_from is not None and isinstance(error, _DOES_NOT_FIT):
            # Otherwise who reads it looks for the fault in the app.
            error.args = (f"{error} {_BEGUN.format(transaction.begun_from)}",)
        raise
    finally:
        transaction.state.close()
        del _open[id(context)]


def state_of(context: Context) -> ClientState:
    """Return the state that is open for a Context: by the mod `client_state`, or `open_state`.

    Raises
    ------
    StateUsageError
        If none is open.
    """
    transaction = _open.get(id(context))
    if transaction is None:
        raise StateUsageError(
            "No client state is open for this Context; add client_state() to "
            "ClientApp(mods=[...]), or use `with open_state(message, context) as state:`."
        )
    return transaction.state


def _check_arguments(message: Message, context: Context, ledger_limit: int | None) -> None:
    if not isinstance(message, Message) or not isinstance(context, Context):
        raise StateTypeError(
            f"open_state takes a Message and a Context, in this order, and was given a "
            f"{type(message).__name__} and a {type(context).__name__}."
        )
    check_options(ledger_limit)
    if id(context) in _open:
        raise StateUsageError(
            "The client state of this Context is open already; take it with state_of(context)."
        )


def check_options(ledger_limit: int | None) -> None:
    """Check the options of a step.

    Raises
    ------
    StateTypeError
        If one is none that there is.
    """
    if ledger_limit is not None and (type(ledger_limit) is not int or ledger_limit < 1):
        raise StateTypeError(f"ledger_limit is {ledger_limit!r}; it must be 1 or more, or None.")
