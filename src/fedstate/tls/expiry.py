"""Warning of certificates that are about to expire, in the log of whoever uses them."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from fedstate.logs import logger

WARN_DAYS = 30
_DAY_SECONDS = 86400.0

RENEW = "`fedstate certificates renew`"
RENEW_AUTHORITY = "`fedstate certificates renew --new-authority`"


def expires_soon(name: str, end: datetime, now: datetime, *, renew: str = RENEW) -> str | None:
    """Return a sentence about a certificate that has expired or soon will; None for others.

    Parameters
    ----------
    name : str
        What the sentence calls the certificate, such as ``The certificate server.crt``.
    end : datetime
        Until when it is valid, in UTC.
    now : datetime
        The time, in UTC.
    renew : str
        The command that makes another.
    """
    left = (end - now).total_seconds() / _DAY_SECONDS
    if left < 0:
        return f"{name} expired on {end:%Y-%m-%d}, and is refused: {renew} makes another."
    if left > WARN_DAYS:
        return None
    days = math.floor(left)
    when = "within a day" if days < 1 else f"in {days} day{'s' if days > 1 else ''}"
    return f"{name} expires on {end:%Y-%m-%d}, {when}: {renew} makes another."


class ExpiryWarning:
    """Looks at certificates once a day, and warns in the last 30 days of one.

    Parameters
    ----------
    certificate : Path, optional
        A server's certificate.
    authority : Path, optional
        Certificates of authorities; of several, the one counts that is valid for longest.
    now : callable
        The time, in UTC.
    clock : callable
        Seconds that only grow, by which a day passes: the time of day may be set.
    """

    def __init__(
        self,
        *,
        certificate: Path | None = None,
        authority: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._certificate = certificate
        self._authority = authority
        self._now, self._clock = now, clock
        self._looked = -math.inf

    def look(self) -> None:
        """Warn in the log, at most once a day of each certificate."""
        passed = self._clock()
        if passed - self._looked < _DAY_SECONDS:
            return
        self._looked, now = passed, self._now()
        # A program that speaks TLS without looking at its certificates need not import this.
        from cryptography import x509

        for kind, file, renew in (
            ("certificate", self._certificate, RENEW),
            ("authority", self._authority, RENEW_AUTHORITY),
        ):
            if file is None:
                continue
            try:
                found = x509.load_pem_x509_certificates(file.read_bytes())
            except (OSError, ValueError):  # whoever uses it says so
                continue
            ends = [each.not_valid_after_utc for each in found]
            end = ends[0] if kind == "certificate" else max(ends)
            if (
                sentence := expires_soon(f"The {kind} {file}", end, now, renew=renew)
            ) is not None:
                (logger.error if end < now else logger.warning)("%s", sentence)
