"""Why a call of the Control API is refused, and accounts that cannot be read.

AccountsError (SettingError)   the file of accounts is missing, damaged, or open to others
Refusal (FedstateError)        a call is refused, with an HTTP status and one of Flower's codes
"""

from fedstate.errors import FedstateError, SettingError

# Flower's own numbers of these errors, by which its clients know them.
AUTHENTICATION_FAILED = 36
NO_PERMISSION = 9
NOT_THE_ACCOUNTS_RUN = 31
NO_ACCOUNTS = 37


class AccountsError(SettingError):
    """The file of accounts is missing, damaged, or can be written by others."""


class Refusal(FedstateError):  # noqa: N818  it is an answer, not a fault
    """A call of the Control API that is refused; the message is for whoever called.

    Attributes
    ----------
    status : int
        The HTTP status of the answer.
    code : int
        Flower's number of the error.
    """

    def __init__(self, sentence: str, status: int, code: int) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code

    @classmethod
    def unauthenticated(cls, sentence: str) -> "Refusal":
        """Return the refusal of a call of which it is not known who makes it (401)."""
        return cls(sentence, 401, AUTHENTICATION_FAILED)

    @classmethod
    def forbidden(cls, sentence: str, code: int = NO_PERMISSION) -> "Refusal":
        """Return the refusal of a call that its account may not make (403)."""
        return cls(sentence, 403, code)

    @classmethod
    def unavailable(cls, sentence: str) -> "Refusal":
        """Return the refusal of a call while nobody's account can be known (503)."""
        return cls(sentence, 503, NO_ACCOUNTS)
