"""What can be wrong with client state; none of these is ever answered with an empty state.

StateError (FedstateError)
 ├─ StateDamagedError   the content does not match its digest, or a record cannot be read
 ├─ StateOwnerError     the state belongs to another run or node than the Context's
 ├─ StateVersionError   an unknown codec tag, or a version that this fedstate cannot read
 ├─ StateTypeError      a value of this type, or with this content, cannot be stored
 ├─ StateFitError       a stored value does not fit the model that it is loaded into
 ├─ StateNameError      there is no value of that name (also a ``KeyError``)
 ├─ StateEntryError      a history has no such entry (also an ``IndexError``)
 └─ StateUsageError     the state is used outside its step, opened twice, or only for reading
"""

from fedstate.errors import FedstateError


class StateError(FedstateError):
    """The base of every error about client state."""


class StateDamagedError(StateError):
    """The content does not match its digest, or a record cannot be read."""


class StateOwnerError(StateError):
    """The state belongs to another run or node than the Context's."""


class StateVersionError(StateError):
    """A codec tag is unknown, or a version cannot be read by this fedstate."""


class StateTypeError(StateError):
    """A value of this type, or with this content, cannot be stored."""


class StateFitError(StateError):
    """A stored value does not fit the model that it is loaded into."""


class StateNameError(StateError, KeyError):
    """There is no value of that name; a ``KeyError``, so that ``state.get`` works."""

    def __str__(self) -> str:
        """Return the sentence, which ``KeyError`` would quote."""
        return str(self.args[0])


class StateEntryError(StateError, IndexError):
    """A history has no such entry; an ``IndexError``, as of a list."""


class StateUsageError(StateError):
    """The state is used outside its step, opened twice, or only for reading."""
