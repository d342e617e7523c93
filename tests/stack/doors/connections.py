"""Attempts with connections: as many as there can be, from one address and from many."""

import errno
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tests.stack.doors.door import Door
from tests.stack.doors.ground import ELSEWHERE, Ground, slow
from tests.stack.doors.registry import Outcome, attempt
from tests.stack.doors.wire import HOST, client_hello, head

CONNECTIONS = slow(2_000, 20_000)
KNOWN = slow(300, 9_000)
# What this process needs beside them: its own files, and the connections of those who are served.
_SPARE = 500


@contextmanager
def _connected(
    door: Door, count: int, source: Callable[[int], str], say: bytes
) -> Iterator[list[socket.socket]]:
    """Hold as many connections as this machine and the server let anybody have."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    held: list[socket.socket] = []
    try:
        for number in range(min(count, limit - _SPARE)):
            each = socket.socket()
            held.append(each)
            each.settimeout(2.0)
            try:
                each.bind((source(number), 0))
                each.connect((HOST, door.port))
                if say:
                    each.sendall(say)
            except (ConnectionError, TimeoutError):
                continue  # refused, or nobody takes it off the queue
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.EADDRNOTAVAIL, errno.EADDRINUSE):
                    break
                raise
        yield held
    finally:
        for each in held:
            each.close()


def _held(
    ground: Ground, door: Door, outcome: Outcome, source: Callable[[int], str], say: bytes
) -> None:
    with _connected(door, CONNECTIONS, source, say) as held:
        missing = ground.not_served()
        outcome.expect(f"beside {len(held)} connections: {missing}", not missing)


@attempt(doors=("fleet", "node"))
def connections_of_one(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Hold thousands of connections from one address, and say nothing."""
    _held(ground, door, outcome, lambda _: ELSEWHERE, b"")


@attempt(doors=("fleet", "node"))
def connections_of_many(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Hold thousands of connections from hundreds of addresses, each in a handshake."""
    _held(
        ground,
        door,
        outcome,
        lambda number: f"127.0.{2 + number % 200}.{1 + number // 200 % 200}",
        client_hello(),
    )


@attempt(doors=("fleet", "node"))
def connections_of_somebody_known(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Hold as many connections as one can as a node or a task, each with a request answered."""
    path, body = ground.own_request(door.name)
    with ExitStack() as stack:
        for _ in range(KNOWN):
            wire = stack.enter_context(door.wire(ELSEWHERE))
            headers = {**dict(ground.credentials(door)), "Content-Length": str(len(body))}
            wire.send(head("POST", path, headers) + body)
            assert wire.answer() == 200
        missing = ground.not_served()
        outcome.expect(f"beside {KNOWN} connections: {missing}", not missing)
