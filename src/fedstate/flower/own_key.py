"""A node's own key pair, which follows its file, and signs the node's requests.

The SuperLink takes a node's key until the operator replaces it there, and its next key from then
on. So a SuperNode stays with the key that it has until that is refused; then it looks at its key
file, and goes on with the key in it if the SuperLink takes that one. No request fails meanwhile.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

# How flwr names what its interceptor adds to a request, once.
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER

# What an interceptor is given: a request, and what sends it.
from flwr.supercore.protobuf.client import ProtobufRequestContext

# What signs a node's requests.
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedstate.flower.clocks import Clocks, seconds_ahead
from fedstate.flower.errors import KeyReplacedError
from fedstate.logs import logger

_Send = Callable[[ProtobufRequestContext], httpx.Response]

KeyPair = tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey]

# A server of flwr's own has its answers' date made once a second.
DATE_SECONDS = 1.1
_HEADERS = (FLEET_HTTP_PUBLIC_KEY_HEADER, TIMESTAMP_HEADER, FLEET_HTTP_SIGNATURE_HEADER)


class OwnKey:
    """The key pair of a node; safe to use from every thread.

    Parameters
    ----------
    pair : tuple
        The private and the public key that the node begins with.
    file : Path, optional
        The private key's file (OpenSSH), in which the next one will be; without it, none will.

    Attributes
    ----------
    on_change : callable
        Is called with the new pair when the SuperLink has taken it.
    """

    def __init__(self, pair: KeyPair, file: Path | None = None) -> None:
        self.pair = pair
        self.on_change: Callable[[KeyPair], None] = lambda _: None
        self._first = pair
        self._file = file
        # Held while a key is taken up: of several requests that are refused, one does it.
        self._lock = threading.Lock()

    @property
    def was_replaced(self) -> bool:
        """Whether the pair is not the one that the node began with."""
        return self.pair is not self._first

    def after(self, refused: KeyPair) -> KeyPair | None:
        """Return the pair to try when one was refused; None if there is no other."""
        with self._lock:
            if self.pair is not refused:
                return self.pair
        found = self._read()
        return None if found is None or _same(found, refused) else found

    def take(self, pair: KeyPair) -> None:
        """Go on with a pair that the SuperLink has taken."""
        with self._lock:
            if _same(pair, self.pair):
                return
            self.pair = pair
        self.on_change(pair)

    @contextmanager
    def kept(self, probe: Callable[[], object]) -> Iterator[Callable[[], None]]:
        """Send something that the pair of now has signed: with this pair, or not at all.

        Yields what is called before each try.

        Parameters
        ----------
        probe : callable
            Makes a request that is refused unless there is a pair that the SuperLink takes.

        Raises
        ------
        KeyReplacedError
            Another pair is used by now.
        """
        pair = self.pair

        def check() -> None:
            # While the SuperLink was away, another call may have found the next key.
            if self.pair is not pair:
                raise KeyReplacedError

        try:
            yield check
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.UNAUTHORIZED:
                raise
            probe()
            check()
            raise

    def _read(self) -> KeyPair | None:
        if self._file is None:
            return None
        try:
            key = load_ssh_private_key(self._file.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            logger.warning("The node's key file '%s' cannot be used: %s.", self._file, error)
            return None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            logger.warning("The node's key file '%s' has no elliptic-curve key.", self._file)
            return None
        return key, key.public_key()


class SigningInterceptor:
    """Signs a node's requests with its key; one that is refused, with the next key again.

    Parameters
    ----------
    own_key : OwnKey
        The node's key.
    signed_bodies : frozenset of str
        The methods whose requests have something in them that the key has signed, too: they are
        not sent again with another key, since that would not be the one of what they have.
    date_seconds : float
        For how long the date of an answer may be that of before the server's clock was set.
    """

    def __init__(
        self,
        own_key: OwnKey,
        signed_bodies: frozenset[str] = frozenset(),
        date_seconds: float = DATE_SECONDS,
    ) -> None:
        self._own_key = own_key
        self._signed_bodies = signed_bodies
        self._date_seconds = date_seconds
        self._clocks = Clocks("the SuperLink")
        self._worked = False

    def intercept(self, context: ProtobufRequestContext, call_next: _Send) -> httpx.Response:
        """Sign and send a request."""
        pair = self._own_key.pair
        response = self._sent(pair, context, call_next)
        if not _refuses_key(response):
            return response
        if (newer := self._own_key.after(pair)) is not None:
            if context.rpc_method in self._signed_bodies:
                return response
            response = self._sent(newer, context, call_next)
            if response.is_success:
                self._own_key.take(newer)
        if self._worked and _refuses_key(response) and "date" in response.headers:
            # The server's clock may have been set a moment ago, and the date be of before.
            time.sleep(self._date_seconds)
            response = self._sent(pair, context, call_next)
        return response

    def _sent(
        self, pair: KeyPair, context: ProtobufRequestContext, call_next: _Send
    ) -> httpx.Response:
        for name in _HEADERS:
            context.request.headers.pop(name, None)
        sent_at = time.monotonic()
        response: httpx.Response = NodeAuthHttpInterceptor(*pair).intercept(context, call_next)
        self._clocks.look(response, sent_at)
        self._worked = self._worked or response.is_success
        return response


def _refuses_key(response: httpx.Response) -> bool:
    return response.status_code == httpx.codes.UNAUTHORIZED and seconds_ahead(response) is None


def _same(one: KeyPair, other: KeyPair) -> bool:
    return one[1].public_numbers() == other[1].public_numbers()
