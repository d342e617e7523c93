"""Ask a SuperLink or SuperNode over TLS whether it is well, and an executor by its heartbeat.

Containers ask every few seconds, with ``python -m fedstate.health URL CA``, in an executor's with
``--executor HEARTBEAT_FILE`` before these: it takes nothing but the standard library, and with
that a fifth of the time of ``fedstate health``. An executor that is beyond its own help is ended,
so that the engine starts its container again.
"""

import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

from fedstate.errors import FederationError, FedstateError
from fedstate.executor.heartbeat import check_executor

SECONDS = 5.0


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


if __name__ == "__main__":
    arguments = sys.argv[1:]
    try:
        if arguments[0] == "--executor":
            check_executor(Path(arguments[1]), restart=True)
            del arguments[:2]
        if arguments:
            check_health(arguments[0], Path(arguments[1]))
    except FedstateError as error:
        sys.exit(f"fedstate: {error}")
