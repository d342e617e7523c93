"""What goes wrong between a node and its SuperLink, in our own types.

SuperLinkError (FederationError)
 ├─ UnreachableError          no answer that can be read; trying again may help
 │   └─ ClocksDifferError     it takes nothing that this machine's clock says the time of
 ├─ RefusedError              the SuperLink answered with an error
 │   └─ UnauthorizedError     it does not accept the node's key or ID
 ├─ KeyReplacedError          what was to be sent is signed with a key that was replaced meanwhile
 ├─ RunEndedError             the run has ended, and with it every step of it
 ├─ MessageUnavailableError   the content of a message cannot be had any longer
 └─ ReplyIncompleteError      the SuperLink did not store all of a reply; it is to be sent again
"""

from enum import Enum, IntEnum

# The codes of Flower's error replies, which flwr.app does not export.
from flwr.common.constant import ErrorCode as _FlowerErrorCode

from fedstate.errors import FederationError


class ErrorCode(IntEnum):
    """The codes of Flower's error replies that a SuperNode sends or a ServerApp is given."""

    UNKNOWN = _FlowerErrorCode.UNKNOWN
    CLIENT_APP_RAISED = _FlowerErrorCode.CLIENT_APP_RAISED_EXCEPTION
    CLIENT_APP_NOT_LOADED = _FlowerErrorCode.LOAD_CLIENT_APP_EXCEPTION
    CLIENT_APP_CRASHED = _FlowerErrorCode.CLIENT_APP_CRASHED
    MESSAGE_UNAVAILABLE = _FlowerErrorCode.MESSAGE_UNAVAILABLE
    REPLY_UNAVAILABLE = _FlowerErrorCode.REPLY_MESSAGE_UNAVAILABLE
    NODE_UNAVAILABLE = _FlowerErrorCode.NODE_UNAVAILABLE
    INVALID_FAB = _FlowerErrorCode.INVALID_FAB


class RunStatus(Enum):
    """What a SuperLink says of a run."""

    GOING = "going"
    ENDED = "ended"
    # It has no such run, or this node is not in the run's federation: it does not say which.
    UNKNOWN = "unknown"


class SuperLinkError(FederationError):
    """The base of what goes wrong between a node and its SuperLink.

    Attributes
    ----------
    said : bool
        Whether the log has it, so that nobody need say it at each try.
    """

    said = False


class UnreachableError(SuperLinkError):
    """No answer that can be read: the connection failed or broke; trying again may help.

    Attributes
    ----------
    sent : bool
        Whether the SuperLink may have got the request and done what it asks for.
    """

    def __init__(self, sentence: str, *, sent: bool) -> None:
        super().__init__(sentence)
        self.sent = sent


class ClocksDifferError(UnreachableError):
    """The SuperLink refuses what is signed by this machine's clock, until the clocks agree."""

    said = True

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, sent=False)


class RefusedError(SuperLinkError):
    """The SuperLink answered with an error.

    Attributes
    ----------
    status : int
        The HTTP status.
    """

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status

    @property
    def is_server_error(self) -> bool:
        """Whether it is a passing trouble of the server's, such as a busy database."""
        return self.status >= 500


class UnauthorizedError(RefusedError):
    """The SuperLink does not accept the node's key or ID."""


class KeyReplacedError(SuperLinkError):
    """What was to be sent is signed with a key that was replaced: sign and send it again."""

    def __init__(self) -> None:
        super().__init__("The node's key was replaced.")


class RunEndedError(SuperLinkError):
    """The run has ended, and with it every step of it."""


class MessageUnavailableError(SuperLinkError):
    """The content of a message is gone, did not come in time, or is not what its ID says."""


class ReplyIncompleteError(SuperLinkError):
    """The SuperLink did not store all of a reply; it is to be sent again."""
