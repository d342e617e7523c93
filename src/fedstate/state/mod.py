"""Client state as a Flower mod: the handler finds its state opened."""

from collections.abc import Callable

from flwr.app import Context, Message, RecordDict

from fedstate.state.errors import StateTypeError
from fedstate.state.transaction import check_options, open_state

COMMIT_RECORD = "fedstate.commit"

ClientAppCallable = Callable[[Message, Context], Message]
Mod = Callable[[Message, Context, ClientAppCallable], Message]


def client_state(*, ledger_limit: int | None = None) -> Mod:
    """Return a mod that opens the client's state around each message.

    The handler takes its state with ``state_of(context)``. If it changed something, the step
    commits when it returns, and its reply carries the ledger's entry in a ConfigRecord
    ``fedstate.commit``, which strategies ignore and `fedstate verify` reads. A handler that
    raises, or replies with an error, leaves no trace.

    Put it first in the list, so that the step includes the other mods: a mod before it that
    fails would fail after the commit.

    Parameters
    ----------
    ledger_limit
        As in `open_state`.

    Raises
    ------
    StateTypeError
        If an option is none that there is; and in the step, if the handler returns something
        else than a Message.

    Examples
    --------
    >>> app = ClientApp(mods=[client_state()])  # doctest: +SKIP
    """
    check_options(ledger_limit)

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        with open_state(message, context, ledger_limit=ledger_limit) as state:
            reply = call_next(message, context)
            _check_reply(reply, message)
            if reply.has_error():
                state.discard()
        if state.entry is not None:
            # Into a RecordDict of its own: the handler may have replied with one that it uses
            # again, or with context.state itself.
            reply.content = RecordDict({**reply.content, COMMIT_RECORD: state.report()})
        return reply

    return mod


def _check_reply(reply: object, message: Message) -> None:
    if not isinstance(reply, Message):
        raise StateTypeError(
            f"The handler for {message.metadata.message_type!r} returned "
            f"{'nothing' if reply is None else f'a {type(reply).__name__}'}; a handler returns a "
            "Message: Message(RecordDict({...}), reply_to=message). Nothing of this step is kept."
        )
