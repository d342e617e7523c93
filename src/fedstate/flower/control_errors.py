"""What can be wrong with a call of a SuperLink's Control API, beside the connection."""

from fedstate.errors import FederationError


class RunNotFoundError(FederationError):
    """The SuperLink has no such run."""


class NoEvidenceError(FederationError):
    """The SuperLink keeps no evidence of runs."""


class AccessError(FederationError):
    """The SuperLink refuses a call for want of an account, or of the account's right to it."""
