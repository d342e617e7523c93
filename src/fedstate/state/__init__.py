"""Client state: the typed, transactional view of a Flower ``Context``.

Nothing is stored anywhere but in ``Context.state``, so it works on a stock SuperNode, on
fedstate's and in the Simulation Engine. Only flwr's public API is used.

>>> from fedstate.state import client_state, state_of
>>> app = ClientApp(mods=[client_state()])  # doctest: +SKIP
>>> @app.train()  # doctest: +SKIP
... def train(message: Message, context: Context) -> Message:
...     state = state_of(context)
...     if "weights" in state:
...         state.load("weights", into=model)
...     ...
...     state["weights"] = model
...     state.history("loss").append(loss)
...     return reply
"""

from fedstate.state.audit import AUDIT_RECORD, audit
from fedstate.state.client_state import ClientState
from fedstate.state.codecs.keras_weights import weights_of
from fedstate.state.codecs.registry import register, stored
from fedstate.state.content import check_state, content_digest
from fedstate.state.errors import (
    StateDamagedError,
    StateEntryError,
    StateError,
    StateFitError,
    StateNameError,
    StateOwnerError,
    StateTypeError,
    StateUsageError,
    StateVersionError,
)
from fedstate.state.history import History, HistoryEntry
from fedstate.state.ledger import LedgerEntry, read_ledger
from fedstate.state.mod import COMMIT_RECORD, client_state
from fedstate.state.transaction import open_state, state_of

__all__ = [
    "AUDIT_RECORD",
    "COMMIT_RECORD",
    "ClientState",
    "History",
    "HistoryEntry",
    "LedgerEntry",
    "StateDamagedError",
    "StateEntryError",
    "StateError",
    "StateFitError",
    "StateNameError",
    "StateOwnerError",
    "StateTypeError",
    "StateUsageError",
    "StateVersionError",
    "audit",
    "check_state",
    "client_state",
    "content_digest",
    "open_state",
    "read_ledger",
    "register",
    "state_of",
    "stored",
    "weights_of",
]
