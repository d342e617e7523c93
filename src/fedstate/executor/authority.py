"""The certificate authority of the server, of which every room has a copy."""

import ssl
from pathlib import Path

from fedstate.logs import logger

_Signature = tuple[int, int, int]


class FollowedAuthority:
    """A file of certificates, which is read again when it has changed.

    Parameters
    ----------
    path
        The file; None where the system's authorities are trusted.

    Attributes
    ----------
    content : str or None
        What the file held when it last held certificates, as PEM; None without a file.
    """

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path).expanduser()
        self.content: str | None = None
        self._seen: _Signature | None = None
        if self._path is not None:
            self._seen = _signature(self._path)
            self.content = self._path.read_text()

    def changed(self) -> bool:
        """Return whether the file holds other certificates than before, and take them in.

        One that is being written, or that is gone, is as it was; whoever connects by it says so.
        """
        if self._path is None:
            return False
        try:
            seen = _signature(self._path)
            if seen == self._seen:
                return False
            content = self._path.read_text("ascii")
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content)
        except (OSError, ValueError):  # errors of TLS are OSErrors
            return False
        self._seen, before, self.content = seen, self.content, content
        if content != before:
            logger.info("Tasks are given what %s holds now.", self._path)
        return content != before


def _signature(path: Path) -> _Signature:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
