"""Client state as a Flower mod: the handler finds its state opened."""

from collections.abc import Callable

from flwr.app import Context, Message

from fedstate.state.transaction import Scope, open_state

COMMIT_RECORD = "fedstate.commit"

ClientAppCallable = Callable[[Message, Context], Message]
Mod = Callable[[Message, Context, ClientAppCallable], Message]


def client_state(*, scope: Scope = "run", ledger_limit: int | None = None) -> Mod:
    """Return a mod that opens the client's state around each message.

    The handler takes its state with ``state_of(context)``. If it changed something, the step
    commits when it returns, and its reply carries the ledger's entry in a ConfigRecord
    ``fedstate.commit``, which strategies ignore and `fedstate verify` reads. A handler that
    raises, or replies with an error, leaves no trace.

    Put it first in the list, so that the step includes the other mods: a mod before it that
    fails would fail after the commit.

    Parameters
    ----------
    scope, ledger_limit
        As in `open_state`.

    Examples
    --------
    >>> app = ClientApp(mods=[client_state()])  # doctest: +SKIP
    """

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        with open_state(message, context, scope=scope, ledger_limit=ledger_limit) as state:
            reply = call_next(message, context)
            if reply.has_error():
                state.discard()
        if state.entry is not None:
            reply.content[COMMIT_RECORD] = state.report()
        return reply

    return mod
