"""Which failures of a TLS connection are wrong settings, and which pass by themselves.

A setting is wrong for as long as nobody changes it: the certificate is of another authority, of
another host, or not valid now, or there is no TLS at the other end. Everything else (an end of
file where the protocol has none, a reset during the handshake, a time limit, damaged data, a
server that ends or has a trouble of its own) is a broken connection: trying again may help. The
words of an error's message say nothing about that; a broken connection has "SSL" in it, too.
"""

import ssl
from collections.abc import Iterator

# What OpenSSL says of a certificate (X509_V_ERR_...).
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_HOSTS = (62, 64)  # a name, an address

# What OpenSSL says when the other end speaks something else; the last two since version 3.2.
_NO_TLS = {
    *("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL"),
    *("RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"),
}
# And when both speak TLS and do not agree on how, or this end should have a certificate.
_NO_AGREEMENT = {
    *("UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "TLSV1_ALERT_PROTOCOL_VERSION"),
    *("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_INSUFFICIENT_SECURITY"),
    *("TLSV1_UNRECOGNIZED_NAME", "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE"),
    *("TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_ACCESS_DENIED"),
}


def setting_problem(error: BaseException, server: str) -> str | None:
    """Return in one sentence which setting is wrong; None if none is.

    Parameters
    ----------
    error : BaseException
        What a client has raised; the causes of it are looked at.
    server : str
        What the sentence calls the server, such as ``the server at superlink:8000``.

    Returns
    -------
    str or None
        A sentence that says what is wrong and what to do. None for a connection that is broken,
        which may be tried again, and for everything that has nothing to do with TLS.
    """
    found = _tls_error(error)
    if isinstance(found, ssl.SSLCertVerificationError):
        return _certificate_problem(found, server)
    reason = getattr(found, "reason", None)  # one that Python's own code raises has none
    if reason in _NO_TLS:
        return (
            f"TLS was spoken to {server}, which does not speak it ({_words(reason)}): check the "
            "address, or leave TLS out on both sides."
        )
    if reason in _NO_AGREEMENT:
        return (
            f"No TLS connection to {server} can be agreed on ({_words(reason)}): it asks for "
            "another version of TLS, or for a certificate of the client."
        )
    return None


def is_broken(error: BaseException) -> bool:
    """Return whether TLS failed, or a reset under it, for no wrong setting.

    Of an error before a request has left, this says that the other end was there and that trying
    again at once may help. A server that is not there, or answers too late, is something else.
    """
    found = _tls_error(error)
    if found is not None:
        return setting_problem(error, "") is None
    broken = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
    return any(isinstance(each, broken) for each in _causes(error))


def _certificate_problem(error: ssl.SSLCertVerificationError, server: str) -> str:
    said = error.verify_message
    if error.verify_code == _EXPIRED:
        return (
            f"The certificate of {server}, or that of its authority, has expired: whoever "
            "operates it makes another with `fedstate certificates renew`."
        )
    if error.verify_code == _NOT_YET_VALID:
        return f"The certificate of {server} is not valid yet: check the clocks of both machines."
    if error.verify_code in _WRONG_HOSTS:
        return (
            f"The certificate of {server} is for other hosts ({said.rstrip('.')}): connect by a "
            "name that is in it, or have one made for this name with --host."
        )
    return (
        f"The certificate of {server} is not signed by an authority that is trusted here "
        f"({said}): give the authority's ca.crt as --root-certificates."
    )


def _words(reason: str) -> str:
    return reason.lower().replace("_", " ")


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    return next((each for each in _causes(error) if isinstance(each, ssl.SSLError)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what has caused it, the latest first.

    Of the clients' own errors, some are raised from nothing, and hold the cause as an argument.
    """
    seen: set[int] = set()
    left: BaseException | None = error
    while left is not None and id(left) not in seen:
        seen.add(id(left))
        yield left
        held = next((each for each in left.args if isinstance(each, BaseException)), None)
        left = left.__cause__ or held
