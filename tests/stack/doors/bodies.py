"""Attempts with bodies: too large, too slow, of the wrong kind, or not what their length says."""

import functools
import gzip
import time
import zlib

from tests.stack.doors.door import Door
from tests.stack.doors.ground import ELSEWHERE, PROTOBUF, Ground
from tests.stack.doors.registry import Outcome, attempt
from tests.stack.doors.wire import CLOSED, SILENT, Wire, head

TWO_GIGABYTES = 2**31
# Within this a server has hung up on somebody who goes on sending after an answer.
HANGING_UP = 20.0
# More than a message that carries no objects may have.
SMALL_BYTES = 18 * 2**20
# More than this machine's buffers hold, on both sides.
UNREAD_BYTES = 32 * 2**20
# Within this an answer has come on a machine that is busy, if it does not wait for the body.
AT_ONCE = 10.0
# A server gives up within this on somebody who sends nothing, or too slowly.
PATIENCE = 40.0


@attempt(400, 401, 403, 404, 411, 413, CLOSED)
def two_gigabytes_declared(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Announce 2 GB to every route as nobody, and wait: they have to be refused unread."""
    headers = {**PROTOBUF, "Content-Length": str(TWO_GIGABYTES)}
    for route in door.routes:
        with door.wire() as wire:
            wire.send(head(route.method, route.path, headers))
            answer = wire.answer(AT_ONCE)
            outcome.of(route.path, answer)
        if answer == SILENT:
            return  # every route waits for the body, which one is enough to show


@attempt(400, 401, 403, 404, 411, 413, CLOSED)
def two_gigabytes_in_chunks(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Begin to every route, as nobody, a body that says nothing of its length."""
    headers = {**PROTOBUF, "Transfer-Encoding": "chunked"}
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    for route in door.routes:
        with door.wire() as wire:
            wire.send(head(route.method, route.path, headers))
            wire.send(chunk)
            answer = wire.answer(AT_ONCE)
            outcome.of(route.path, answer)
        if answer == SILENT:
            return


@attempt(early=True)
def two_gigabytes_sent(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Go on sending what was announced, whatever the answer is, until the server hangs up."""
    with door.wire(ELSEWHERE) as wire:
        wire.send(
            head("POST", door.routes[0].path, {**PROTOBUF, "Content-Length": str(TWO_GIGABYTES)})
        )
        outcome.expect("it goes on and on", _hangs_up(wire, bytes(65536)))


@attempt(early=True)
def headers_without_an_end(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send header after header, and never the end of them."""
    with door.wire(ELSEWHERE) as wire:
        wire.send(head("GET", "/health")[:-2])
        outcome.expect("it goes on and on", _hangs_up(wire, b"x: x\r\n" * 4_000))


@attempt(400, 403, 404, 411, 413, 422, CLOSED)
def two_gigabytes_with_a_credential(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Announce more than any message may have, to every route, as somebody who is known."""
    for route in door.routes:
        headers = dict(ground.credentials(door, route))
        headers["Content-Length"] = str(TWO_GIGABYTES + 2**20)
        with door.wire() as wire:
            wire.send(head(route.method, route.path, headers))
            answer = wire.answer(AT_ONCE)
            outcome.of(route.path, answer, *_of_their_own(route.path))
        if answer == SILENT:
            return


@attempt(400, 408, 413, CLOSED)
def two_gigabytes_in_chunks_with_a_credential(
    ground: Ground, door: Door, outcome: Outcome
) -> None:
    """As somebody who is known, send to what takes no large message one that does not end."""
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    path, _ = ground.own_request(door.name)
    headers = {**dict(ground.credentials(door)), "Transfer-Encoding": "chunked"}
    with door.wire() as wire:
        wire.send(head("POST", path, headers))
        wire.patience(5.0)
        taken = 0
        while taken < SMALL_BYTES and wire.send(chunk) == len(chunk):
            taken += len(chunk)
        outcome.of(f"{path} after {taken} bytes", wire.answer(AT_ONCE))


def _of_their_own(path: str) -> tuple[int, ...]:
    """Return what else refuses a request to routes with credentials that no attacker has."""
    return (401,) if path.endswith("/responses") else ()


@attempt(400, 401, 403, 404, 411, 413, CLOSED)
def expecting_to_continue(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Ask whether 2 GB are welcome, by `Expect: 100-continue`, as nobody."""
    headers = {**PROTOBUF, "Content-Length": str(TWO_GIGABYTES), "Expect": "100-continue"}
    with door.wire() as wire:
        wire.send(head("POST", door.routes[0].path, headers))
        outcome.of("expect", wire.answer(AT_ONCE))


@attempt(400, 401, 413, 414, 422, CLOSED)
def length_that_is_not_one(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Declare lengths that are negative, no numbers, several, or beyond every integer."""
    path = door.routes[0].path
    lengths = ("-1", "+5", "0x10", "5, 6", "9" * 40, "1e3", "", "\uff15")
    for length in lengths:
        with door.wire() as wire:
            text = head("POST", path, {**PROTOBUF})[:-2]
            wire.send(text + b"Content-Length: " + length.encode() + b"\r\n\r\n")
            outcome.of(repr(length[:8]), wire.answer(AT_ONCE))
    with door.wire() as wire:
        pairs = [*PROTOBUF.items(), ("Content-Length", "3"), ("Content-Length", "30")]
        wire.send(head("POST", path, pairs) + b"abc")
        outcome.of("two lengths", wire.answer(AT_ONCE))


@functools.cache
def _bombs() -> tuple[bytes, bytes]:
    """Return 200 MB of zeros, packed, and packed again."""
    packer = zlib.compressobj(1, wbits=31)
    zeros = bytes(2**20)
    bomb = b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()
    return bomb, gzip.compress(bomb, 1)


@attempt(400, 401, 413, 415, 422, CLOSED)
def compressed_bomb(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send bodies of kilobytes that are hundreds of megabytes when they are unpacked."""
    bomb, twice = _bombs()
    for encoding, body in (("gzip", bomb), ("gzip, gzip", twice), ("deflate", bomb), ("x", bomb)):
        for route in (door.routes[0], door.routes[-1]):
            headers = {**dict(ground.credentials(door, route)), "Content-Encoding": encoding}
            answer = door.ask(route.path, headers, body, route.method)
            outcome.of(f"{encoding} {route.path}", answer)


@attempt(400, 401, 403, 415, 422)
def unknown_content_type(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send to every route what is no protobuf, and says so."""
    types = ("application/json", "text/html", "multipart/form-data; boundary=x", "", "*/*; q=1")
    with door.session() as session:
        for number, route in enumerate(door.routes):
            if route.path.endswith("/responses"):
                continue  # it takes JSON
            content_type = types[number % len(types)]
            known = dict(ground.credentials(door, route))
            headers = {**known, "Content-Type": content_type}
            answer = session.ask(route.path, headers, b'{"a": 1}', route.method)
            outcome.of(f"{content_type} {route.path}", answer)


@attempt(CLOSED, 408, early=True)
def slow_headers(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send one byte of a request's head now and then, and never all of it."""
    with door.wire(ELSEWHERE) as wire:
        text = head("GET", "/health", [(f"X-{number}", "x" * 20) for number in range(100)])
        outcome.of("head", _drip(wire, text))


@attempt(CLOSED, 401, 408, early=True)
def slow_body(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send one byte of a body now and then, as nobody and as somebody who is known."""
    # A route whose credential needs no body to be checked.
    route = next(each for each in door.routes if each.fields("node", "run_id", "node_id"))
    for headers in (PROTOBUF, dict(ground.credentials(door, route))):
        with door.wire(ELSEWHERE) as wire:
            wire.send(head("POST", route.path, {**headers, "Content-Length": "1000"}))
            outcome.of(f"body with {len(headers)} headers", _drip(wire, bytes(1000)))


@attempt(CLOSED, early=True)
def silence(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Connect, and say nothing: before the handshake, in the middle of it, and after it."""
    with (
        door.plain(ELSEWHERE) as quiet,
        door.plain(ELSEWHERE) as half,
        door.wire(ELSEWHERE) as open_,
    ):
        half.send(b"\x16\x03\x01\x02\x00\x01")
        until = time.monotonic() + PATIENCE
        for what, wire in (("nothing", quiet), ("half a handshake", half), ("no request", open_)):
            closed = wire.closed_within(max(1.0, until - time.monotonic()))
            outcome.expect(what, closed)


@attempt()
def never_reading(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Ask over and over for what nobody needs a credential for, and never read an answer."""
    request = head("GET", "/health") * 500
    with door.wire(ELSEWHERE) as wire:
        wire.patience(1.0)
        taken = 0
        while taken < UNREAD_BYTES and (sent := wire.send(request)) == len(request):
            taken += sent
        outcome.expect(f"{taken} bytes of requests were taken", taken < UNREAD_BYTES)


def _hangs_up(wire: Wire, piece: bytes) -> bool:
    """Send a piece again and again, a megabyte a second; return whether the server hangs up.

    What it has answered is left unread, and so is its notice that it is going to.
    """
    until = time.monotonic() + HANGING_UP
    while time.monotonic() < until:
        if wire.send(piece) < len(piece):
            return True
        time.sleep(len(piece) / 2**20)
    return False


def _drip(wire: Wire, data: bytes) -> int | str:
    """Send the bytes one by one; return the answer, or CLOSED, or SILENT if it goes on and on."""
    until = time.monotonic() + PATIENCE
    for number in range(len(data)):
        if time.monotonic() > until:
            return SILENT
        if wire.send(data[number : number + 1]) == 0:
            return CLOSED
        answer = wire.answer(1.0) if wire.readable(1.0) else SILENT
        if answer != SILENT:
            return answer
    return SILENT
