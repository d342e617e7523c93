"""Whether a request was refused because the clocks of both machines differ, and saying so.

Nodes and executors sign the time of each request. flwr takes none whose time is too far from its
own, and answers as it does to a wrong key. But the headers of any answer have the server's time:
compared with the one that was signed, it tells, and a server need tell strangers nothing more.
"""

import datetime
import threading
from email.utils import parsedate_to_datetime

import httpx

# How flwr names the times that nodes and executors sign, and how old these may be.
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import (
    MAX_TIMESTAMP_DIFF_SECONDS,
    MIN_TIMESTAMP_DIFF_SECONDS,
    SUPEREXEC_AUTH_TIMESTAMP_HEADER,
)

from fedstate.logs import logger

# The header with the time of an answer has no fractions.
_DATE_SECONDS = 1.0
# A difference that has changed by so much is another one.
_CHANGE_SECONDS = 60.0
_UNITS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}


def seconds_ahead(response: httpx.Response) -> float | None:
    """Return by how much the clock of who asked is ahead of the server's, if it was refused so.

    Returns
    -------
    float or None
        Less than 0 for a clock that is behind; None for an answer that has nothing to do with
        clocks, or that does not tell.
    """
    if response.status_code != httpx.codes.UNAUTHORIZED:
        return None
    try:
        answered = parsedate_to_datetime(response.headers["date"]).timestamp()
        ahead = _signed_at(response.request.headers) - answered
    except (KeyError, ValueError):
        return None
    taken = -MAX_TIMESTAMP_DIFF_SECONDS + _DATE_SECONDS < ahead < -MIN_TIMESTAMP_DIFF_SECONDS
    return None if taken else ahead


def differ(ahead: float, server: str) -> str:
    """Say in one sentence that the clocks differ, and what to do.

    Parameters
    ----------
    ahead : float
        By how many seconds the clock of here is ahead.
    server : str
        What the sentence calls the server, such as ``the SuperLink``.
    """
    # At least two of a unit: "90 minutes" says more than "2 hours".
    unit, seconds = next(
        (each for each in _UNITS.items() if abs(ahead) >= 2 * each[1]), ("seconds", 1)
    )
    where = "ahead of" if ahead > 0 else "behind"
    return (
        f"This machine's clock is {round(abs(ahead) / seconds)} {unit} {where} that of {server}, "
        "which refuses what is signed at another time than its own: set the clock that is wrong."
    )


class Clocks:
    """What the log says of the clocks: once that they differ, and once that they agree again.

    Parameters
    ----------
    server : str
        What the log calls the server.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._said: float | None = None
        self._said_at = 0.0

    def look(self, response: httpx.Response, sent_at: float) -> None:
        """Take note of the answer to a request that was sent at `sent_at`, of a steady clock."""
        ahead = seconds_ahead(response)
        with self._lock:
            if ahead is not None:
                self._said_at = max(self._said_at, sent_at)
                if self._said is None or abs(ahead - self._said) > _CHANGE_SECONDS:
                    self._said = ahead
                    logger.error("%s Trying again until then.", differ(ahead, self._server))
            # One that was sent before may have been taken before the clock was set.
            elif response.is_success and self._said is not None and sent_at > self._said_at:
                self._said = None
                logger.info("The clocks of this machine and of %s agree again.", self._server)


def _signed_at(headers: httpx.Headers) -> float:
    """Return the time that who asked has signed; KeyError or ValueError if there is none."""
    if TIMESTAMP_HEADER in headers:
        return datetime.datetime.fromisoformat(headers[TIMESTAMP_HEADER]).timestamp()
    return float(headers[SUPEREXEC_AUTH_TIMESTAMP_HEADER])
