"""What a server grants to whoever connects, before and after it knows who that is."""

import resource
from dataclasses import dataclass, field

from fedstate.limits import PROTOBUF_BYTES

# What the process has open besides connections: databases, logs, pipes to an executor.
_OTHER_DESCRIPTORS = 256
_MOST_CONNECTIONS = 8192


def affordable_connections() -> int:
    """Return how many connections this process may have, by its limit on descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return min(_MOST_CONNECTIONS, max(soft - _OTHER_DESCRIPTORS, soft // 2))


@dataclass(frozen=True)
class Limits:
    """The limits of a server.

    A stranger is a connection on which no credential has been verified yet.

    Attributes
    ----------
    message_bytes : int
        The largest body of a request that carries objects, Contexts or replies.
    connections : int
        How many connections may be open at once, of all listeners together.
    strangers : int
        How many of them may be strangers'.
    strangers_of_peer : int
        How many of those may come from one address (of IPv6, from one /64).
    known_of_one : int
        How many connections one credential keeps; on any further one it counts as a stranger's.
    head_seconds : float
        How long a connection may take until a request's headers are there as a whole, from its
        beginning, or from the end of the request before.
    handshake_seconds : float
        How long TLS may take of that.
    head_bytes : int
        How large the headers of a request may be.
    body_seconds : float
        How long a server waits for a body beside what its size allows.
    body_bytes_per_second : float
        The slowest that a body may come.
    """

    message_bytes: int = PROTOBUF_BYTES
    connections: int = field(default_factory=affordable_connections)
    strangers: int = 512
    strangers_of_peer: int = 256
    known_of_one: int = 256
    head_seconds: float = 10.0
    handshake_seconds: float = 10.0
    head_bytes: int = 64 * 1024
    body_seconds: float = 10.0
    body_bytes_per_second: float = 4096.0
