"""What can be wrong with a question about a store that can be read."""

from fedstate.errors import FedstateError


class InspectionError(FedstateError):
    """A store has no such run, state or value, or what was asked for cannot be made of it."""


class NotFoundError(InspectionError, KeyError):
    """A store has no such run, state or value; a ``KeyError``, so that ``get`` works."""

    def __str__(self) -> str:
        """Return the sentence, which ``KeyError`` would quote."""
        return str(self.args[0])
