"""Ask a SuperLink or SuperNode over TLS whether it is well, and an executor by its heartbeat.

Containers ask every few seconds, with ``python -m fedstate.health URL ... CA``, in an executor's
with ``--executor=HEARTBEAT_FILE`` before these: it takes nothing but the standard library, and
with that a fifth of the time of ``fedstate health``. An executor that is beyond its own help is
ended, so that the engine starts its container again.
"""

import math
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from fedstate.errors import FederationError, FedstateError
from fedstate.executor.heartbeat import check_executor

SECONDS = 5.0
PATIENCE_SECONDS = 30.0


def check_health(url: str, root_certificates: Path) -> int:
    """Return the HTTP status of a healthy service.

    Parameters
    ----------
    url : str
        For example ``https://localhost:8000/health``.
    root_certificates : Path
        The authority's ``ca.crt``.

    Raises
    ------
    FederationError
        If the service is not well, cannot be reached, or is not trusted.
    """
    if not url.startswith("https://"):
        raise FederationError(f"'{url}' is not an https:// address.")
    try:
        context = ssl.create_default_context(cafile=str(root_certificates))
        with urllib.request.urlopen(url, timeout=SECONDS, context=context) as reply:  # noqa: S310  (checked above)
            return int(reply.status)
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise FederationError(f"{url} is not well: {reason}") from None


def check_patiently(url: str, root_certificates: Path, answered: Path) -> None:
    """Make sure that a service has been healthy lately.

    Whoever uses a service is not unwell when that is started again, which takes some seconds.

    Parameters
    ----------
    url, root_certificates
        As for `check_health`.
    answered
        A file that is written when the service was healthy.

    Raises
    ------
    FederationError
        If it has not been for half a minute.
    """
    try:
        check_health(url, root_certificates)
    except FederationError:
        last = answered.stat().st_mtime if answered.exists() else -math.inf
        if time.time() - last > PATIENCE_SECONDS:
            raise
    else:
        answered.touch()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    try:
        name, _, file = arguments[0].partition("=")
        if name == "--executor":
            _, url, root_certificates = arguments
            check_executor(Path(file), restart=True)
            check_patiently(url, Path(root_certificates), Path(f"{file}.server"))
        else:
            *urls, root_certificates = arguments
            for url in urls:
                check_health(url, Path(root_certificates))
    except FedstateError as error:
        sys.exit(f"fedstate: {error}")
