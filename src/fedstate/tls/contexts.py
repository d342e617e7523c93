"""What TLS connections are made with: made anew when the files have changed.

A program that runs for months must take up a certificate that was renewed, and an authority that
was replaced, without being started again. The files are looked at when a connection is made,
which takes some microseconds, so that there is no thread, and nobody has to send a signal. A
connection that is there goes on as it was made.
"""

import os
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from fedstate.errors import CertificateError
from fedstate.logs import logger
from fedstate.tls.expiry import ExpiryWarning

# Two files cannot be replaced in one moment: what does not fit together for as long as this does
# not do so for long.
SETTLE_SECONDS = 2.0
# After that has been said, the same files are tried again so rarely: it may have been something
# else that failed, such as descriptors that had run out.
RETRY_SECONDS = 10.0

_Signature = tuple[tuple[int, int, int], ...]


@dataclass
class _Failed:
    """Files that could not be used: since when, whether that was said, and when last tried."""

    signature: _Signature
    since: float
    tried: float
    said: bool = False


# Puts what the files hold into a new context.
_Fill = Callable[[ssl.SSLContext, Sequence[Path]], None]


class ReloadedContext(ssl.SSLContext):
    """A context that hands each new connection to another one, made of the files as they are.

    What is wrong with the files when the program starts is an error; afterwards, new connections
    are made as before, which is logged once.

    Parameters
    ----------
    purpose : ssl protocol
        ``ssl.PROTOCOL_TLS_SERVER`` or ``ssl.PROTOCOL_TLS_CLIENT``.
    files : sequence of Path
        What the context is made of.
    fill : callable
        Puts them into a new context.
    warning : ExpiryWarning, optional
        Is asked whenever a connection is made.
    clock : callable
        Seconds that only grow.

    Raises
    ------
    CertificateError
        The files cannot be used.
    """

    def __new__(cls, purpose: int, *_: Any, **__: Any) -> Self:
        """Return a context for a server, or for a client."""
        return super().__new__(cls, purpose)

    def __init__(
        self,
        purpose: int,
        files: Sequence[Path],
        fill: _Fill,
        warning: ExpiryWarning | None,
        clock: Callable[[], float],
    ) -> None:
        self._purpose = purpose
        self._files = files
        self._fill = fill
        self._warning = warning
        self._clock = clock
        self._protocols: Sequence[str] = ()
        # One attribute, so that threads which meet here see a signature with its own context.
        self._current = self._load()
        self._failed: _Failed | None = None

    def _load(self) -> tuple[_Signature, ssl.SSLContext]:
        """Return what the files hold, with what they looked like before they were read.

        Raises
        ------
        CertificateError
            They cannot be used; the message says why.
        """
        try:
            signature = self._signature()
            context = ssl.SSLContext(self._purpose)
            self._fill(context, self._files)
        except OSError as error:  # errors of TLS are such
            raise CertificateError(f"{self._names()} cannot be used: {_why(error)}.") from error
        except ValueError as error:  # no text
            raise CertificateError(f"{self._names()} cannot be used: {error}.") from error
        if self._protocols:
            context.set_alpn_protocols(self._protocols)
        if self._warning is not None:
            self._warning.look()
        return signature, context

    def _signature(self) -> _Signature:
        found = [file.stat() for file in self._files]
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)

    def _names(self) -> str:
        return " and ".join(str(file) for file in self._files)

    def _latest(self) -> ssl.SSLContext:
        """Return a context made of the files as they are now, or as they were when they fit."""
        before, context = self._current
        try:
            signature = self._signature()
        except OSError:
            signature = ()
        if signature == before:
            self._failed = None
            if self._warning is not None:
                self._warning.look()
            return context
        if self._is_known_to_fail(signature):
            return context
        try:
            self._current = self._load()
        except CertificateError as error:
            self._note(signature, error)
            return context
        self._failed = None
        logger.info("What has changed is used for new connections: %s.", self._names())
        return self._current[1]

    def _is_known_to_fail(self, signature: _Signature) -> bool:
        failed = self._failed
        return (
            failed is not None
            and failed.said
            and failed.signature == signature
            and self._clock() - failed.tried < RETRY_SECONDS
        )

    def _note(self, signature: _Signature, error: CertificateError) -> None:
        failed, now = self._failed, self._clock()
        if failed is None or failed.signature != signature:
            self._failed = _Failed(signature, now, now)
            return
        failed.tried = now
        if not failed.said and now - failed.since >= SETTLE_SECONDS:
            failed.said = True
            logger.warning("%s New connections are made as before.", error)

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """Make a connection, as the files are now."""
        return self._latest().wrap_socket(*arguments, **options)

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Make a connection, as the files are now."""
        return self._latest().wrap_bio(*arguments, **options)

    def set_alpn_protocols(self, alpn_protocols: Sequence[str]) -> None:  # type: ignore[override]
        """Offer these protocols with each connection."""
        self._protocols = alpn_protocols
        self._current[1].set_alpn_protocols(alpn_protocols)


def server_context(
    certificate_file: str | os.PathLike[str],
    key_file: str | os.PathLike[str],
    authority_file: str | os.PathLike[str] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> ReloadedContext:
    """Return what a server's connections are made with.

    Parameters
    ----------
    certificate_file, key_file : path
        The server's certificate, with those that lead to its authority, and its key, as PEM.
    authority_file : path, optional
        The authority's certificate, which is read once and then watched for its end.
    clock : callable
        Seconds that only grow.

    Raises
    ------
    CertificateError
        The files cannot be used.
    """
    files = [Path(each).expanduser() for each in (certificate_file, key_file)]
    authority = None if authority_file is None else Path(authority_file).expanduser()
    if authority is not None:
        client_context(authority)  # whoever is to trust it reads it so
    warning = ExpiryWarning(certificate=files[0], authority=authority)
    return ReloadedContext(ssl.PROTOCOL_TLS_SERVER, files, _show, warning, clock)


def client_context(
    authority_file: str | os.PathLike[str],
    *,
    warns: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> ReloadedContext:
    """Return what a client's connections are made with.

    Parameters
    ----------
    authority_file : path
        The certificates of those that are trusted to vouch for a server, as PEM.
    warns : bool
        Whether the log is to say when they are about to expire.
    clock : callable
        Seconds that only grow.

    Raises
    ------
    CertificateError
        The file cannot be used.
    """
    file = Path(authority_file).expanduser()
    warning = ExpiryWarning(authority=file) if warns else None
    return ReloadedContext(ssl.PROTOCOL_TLS_CLIENT, [file], _trust, warning, clock)


def _show(context: ssl.SSLContext, files: Sequence[Path]) -> None:
    certificate, key = files
    context.load_cert_chain(certificate, key, password=_no_password)


def _trust(context: ssl.SSLContext, files: Sequence[Path]) -> None:
    (file,) = files
    context.load_verify_locations(cadata=file.read_text("ascii"))


def _no_password() -> NoReturn:
    # Without this, OpenSSL would ask at the terminal and keep every connection waiting.
    raise ssl.SSLError("the key is protected by a password; give one that is not")


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        # One that Python's own code raises has no reason.
        return str(getattr(error, "reason", None) or error).lower().replace("_", " ")
    return error.strerror or str(error)
