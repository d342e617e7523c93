"""What it means when the SuperLink refuses a request or does not answer, in our own errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

# The body of flwr's error answers and its codes: flwr exports neither.
from flwr.supercore.error import ApiErrorCode, FlowerError

# What flwr's functions raise when an object is gone, or was not stored.
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, ObjectPushError

# What flwr's retry policy raises for any 403; it is a BaseException.
from flwr.supercore.run import RunNotRunningException

from fedstate.flower.clocks import differ, seconds_ahead
from fedstate.flower.errors import (
    ClocksDifferError,
    MessageUnavailableError,
    RefusedError,
    ReplyIncompleteError,
    RunEndedError,
    RunStatus,
    UnauthorizedError,
    UnreachableError,
)
from fedstate.tls.problems import setting_problem

# With these a request has not left the node.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@contextmanager
def own_errors() -> Iterator[None]:
    """Turn what flwr and its HTTP client raise into errors of `fedstate.flower.errors`.

    Raises
    ------
    SuperLinkError
        In place of theirs.
    """
    try:
        yield
    except RunNotRunningException:
        raise RunEndedError("The run has ended.") from None
    except httpx.HTTPStatusError as error:
        # flwr answers the same to a wrong clock as to a wrong key.
        if (ahead := seconds_ahead(error.response)) is not None:
            raise ClocksDifferError(differ(ahead, "the SuperLink")) from error
        raise refusal(error) from error
    except httpx.RequestError as error:
        reason = setting_problem(error, "the SuperLink") or str(error) or type(error).__name__
        sentence = f"The SuperLink cannot be reached ({reason.rstrip('.')})."
        raise UnreachableError(sentence, sent=not isinstance(error, _NOT_SENT)) from error
    except ObjectPullError as error:
        raise MessageUnavailableError(str(error)) from error
    except ObjectPushError as error:
        raise ReplyIncompleteError(str(error)) from error
    except ValueError as error:
        # Whoever answered is not a SuperLink, or the answer did not arrive as it was sent.
        sentence = f"The SuperLink's answer cannot be read ({error})."
        raise UnreachableError(sentence, sent=True) from error


def refusal(error: httpx.HTTPStatusError) -> RefusedError:
    """Return what an error answer of the SuperLink means."""
    status = error.response.status_code
    known = FlowerError.from_json(error.response.text)
    if known and known.code == ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED:
        return RefusedError(
            "The SuperLink did not admit this node: its key is not registered there, or another "
            "SuperNode with the same key is online or was until moments ago.",
            status,
        )
    if status == httpx.codes.UNAUTHORIZED:
        return UnauthorizedError(
            "The SuperLink does not accept this node's key: register it with 'flwr supernode "
            "register', or take a node that was unregistered back with 'fedstate node restore'; "
            "a key that was replaced is not taken again.",
            status,
        )
    return RefusedError(f"The SuperLink refused ({known.message if known else error}).", status)


def run_status_of(error: httpx.HTTPStatusError) -> RunStatus | None:
    """Return what a refusal to tell of a run says of the run; None if it says nothing."""
    known = FlowerError.from_json(error.response.text)
    if known and known.code == ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED:
        return RunStatus.ENDED
    if known and known.code == ApiErrorCode.FLEET_GET_RUN_FAILED:
        return RunStatus.UNKNOWN
    return None


def is_registered_already(error: httpx.HTTPStatusError) -> bool:
    """Return whether a registration was refused because the key is registered."""
    known = FlowerError.from_json(error.response.text)
    return known is not None and known.code == ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE
