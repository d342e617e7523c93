"""Attempts with HTTP itself: where parsers disagree, and where limits should be."""

import re
from contextlib import ExitStack

from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE

from fedstate.logs import parse_line
from tests.stack.doors.door import Door
from tests.stack.doors.ground import ELSEWHERE, PROTOBUF, Ground
from tests.stack.doors.registry import Outcome, attempt
from tests.stack.doors.wire import CLOSED, HOST, Answer, head, statuses_in

_QUIET = 1.0
_TYPE = f"Content-Type: {PROTOBUF_MEDIA_TYPE}"
# A request that is answered with 200 wherever it is taken as one.
_INNER = f"GET /health HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def _first(door: Door, data: bytes) -> Answer:
    """Send bytes; return the first answer."""
    with door.wire() as wire:
        wire.send(data)
        return wire.answer(_QUIET)


def _raw(door: Door, data: bytes, seconds: float = _QUIET) -> list[int]:
    """Send bytes; return the statuses of all answers until nothing comes any longer."""
    with door.wire() as wire:
        wire.send(data)
        return statuses_in(wire.all_of_it(seconds))


@attempt(400, 431, CLOSED)
def huge_header(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send one header of a megabyte, its name or its value."""
    for what, pair in (("value", ("X", "x" * 2**20)), ("name", ("x" * 2**20, "x"))):
        with door.wire() as wire:
            wire.send(head("GET", "/health", [pair]))
            outcome.of(what, wire.answer(method="GET"))


@attempt(400, 431, CLOSED)
def many_headers(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send tens of thousands of short headers."""
    with door.wire() as wire:
        wire.send(head("GET", "/health", [(f"x{number}", "x") for number in range(50_000)]))
        outcome.of("50,000", wire.answer(method="GET"))


@attempt(400, 404, 414, 431, CLOSED)
def long_path(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Ask for a path of a megabyte, and with a query of one."""
    for path in ("/" + "x" * 2**20, "/health?" + "x" * 2**20, "/.." * 300_000):
        with door.wire() as wire:
            wire.send(head("GET", path))
            outcome.of(path[:9], wire.answer(method="GET"))


@attempt(400, 401, 404, 505, CLOSED)
def other_versions_of_http(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Speak HTTP/0.9, 1.0 without a host, 2 with and without notice, and what is none."""
    path = door.routes[0].path
    for what, data in (
        ("0.9", f"POST {path}\r\n\r\n".encode()),
        ("1.0", f"POST {path} HTTP/1.0\r\n{_TYPE}\r\nContent-Length: 0\r\n\r\n".encode()),
        ("1.9", f"POST {path} HTTP/1.9\r\nHost: a\r\n{_TYPE}\r\n\r\n".encode()),
        ("2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
        ("3", f"POST {path} HTTP/3.0\r\nHost: a\r\n\r\n".encode()),
        ("none", b"\0" * 100 + b"\r\n\r\n"),
    ):
        outcome.of(what, _first(door, data))


@attempt(400, 401, 404, CLOSED)
def no_host_or_another(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Leave out the host, name several, or one that is none; ask to be sent elsewhere."""
    path = door.routes[0].path
    for hosts in ([], ["a", "b"], ["evil.example"], ["a b"], ["127.0.0.1\x01"], [""]):
        lines = [f"POST {path} HTTP/1.1", *(f"Host: {host}" for host in hosts), _TYPE]
        data = "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()
        outcome.of(repr(hosts), _first(door, data))
    # A server that redirects to whatever host the request names sends clients anywhere.
    lines = [f"POST {path}/ HTTP/1.1", "Host: evil.example", _TYPE, "Content-Length: 0", "", ""]
    outcome.of("redirect", _first(door, "\r\n".join(lines).encode()))


@attempt(401, CLOSED)
def pipelining(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send requests before the last one is answered, one that is allowed among them."""
    path = door.routes[0].path
    each = head("POST", path, {**PROTOBUF, "Content-Length": "0"})
    for count in (3, 150):
        answers = _raw(door, each * count + _INNER + each * count, 1.0)
        outcome.expect(f"{answers.count(200)} answers are 200", answers.count(200) <= 1)
        for answer in {*answers} - {200}:
            outcome.of("answer", answer)


@attempt()
def thousands_of_requests_at_once(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send on many connections thousands of the shortest requests, each in one piece."""
    with ExitStack() as stack:
        for _ in range(20):
            wire = stack.enter_context(door.wire(ELSEWHERE))
            wire.patience(1.0)
            wire.send(b"GET /health HTTP/1.1\r\nHost:a\r\n\r\n" * 7_000)
        missing = ground.not_served()
        outcome.expect(f"meanwhile: {missing}", not missing)


@attempt(400, 401, 404, 411, 413, 422, 501, CLOSED)
def smuggled_request(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Hide a second request where one parser reads a body, and another the next request."""
    path = door.routes[0].path
    start = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{_TYPE}\r\n"
    length = f"Content-Length: {len(_INNER) + 5}\r\n"
    ways = {
        "length and chunks": f"{length}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunks and length": f"Transfer-Encoding: chunked\r\n{length}\r\n0\r\n\r\n",
        "chunks, identity": f"{length}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "xchunked": f"{length}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "a space before": f"{length}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "folded": f"{length}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "a tab": f"{length}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        "twice": f"{length}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        "bare line ends": f"{length}X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "a null": f"{length}X: \0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    }
    for what, rest in ways.items():
        answers = _raw(door, (start + rest).encode("latin-1") + _INNER, 0.4)
        _only_one(outcome, what, answers)
    for what, size in (("plus", "+5"), ("hex", "0x5"), ("negative", "-1"), ("long", "f" * 40)):
        data = f"{start}Transfer-Encoding: chunked\r\n\r\n{size}\r\nabcde\r\n0\r\n\r\n"
        _only_one(outcome, f"chunk {what}", _raw(door, data.encode() + _INNER, 0.4))


def _only_one(outcome: Outcome, what: str, answers: list[int]) -> None:
    """The first is refused; what comes after it is read as it was meant, or not at all."""
    outcome.of(what, answers[0] if answers else CLOSED)
    outcome.expect(f"{what}: {answers}", len(answers) <= 2)
    if len(answers) == 2 and what.startswith(("length", "chunks", "twice", "bare")):
        outcome.expect(f"{what}: the hidden request was answered, too: {answers}", False)


@attempt(400, 401, 413, 431, CLOSED)
def endless_chunk_extension(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Send megabytes that belong to no body: extensions of chunks, and trailers."""
    start = head("POST", door.routes[0].path, {**PROTOBUF, "Transfer-Encoding": "chunked"})
    for what, data in (
        ("extension", b"5;" + b"x" * 4 * 2**20 + b"\r\nabcde\r\n0\r\n\r\n"),
        ("trailers", b"0\r\n" + b"x: x\r\n" * 300_000 + b"\r\n"),
        ("a line without an end", b"5" * 2**20),
    ):
        with door.wire() as wire:
            wire.send(start + data)
            outcome.of(what, wire.answer(5.0))


@attempt(400, 401, 404, 405, CLOSED)
def absolute_form(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Ask as one asks a proxy: by a whole address, this server's or another's."""
    path = door.routes[0].path
    for target in (
        f"https://{HOST}:{door.port}{path}",
        f"https://evil.example{path}",
        f"https://evil.example/health{path}",
        f"//evil.example{path}",
        "*",
        f"{HOST}:{door.port}",
        "ftp://a/b",
    ):
        for method in ("POST", "CONNECT"):
            data = head(method, target, {**PROTOBUF, "Content-Length": "0"})
            outcome.of(f"{method} {target}", _first(door, data))


@attempt(400, 401, 404, 405, CLOSED)
def path_tricks(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Write paths in ways that a wall and a router may read differently."""
    path = door.routes[0].path
    prefix, _, name = path.rpartition("/")
    audience = prefix.rpartition("/")[2]
    with door.session() as session:
        for trick in (
            "/" + path,
            f"//v1//{audience}//{name}",
            f"/./v1/{audience}/./{name}",
            f"/v1/x/../{audience}/{name}",
            f"/v1/fleet/../{audience}/{name}",
            f"/v1/control/%2e%2e/{audience}/{name}",
            f"/v1/runtime/..%2f{audience}/{name}",
            f"/health/../v1/{audience}/{name}",
            f"/health/..;{path}",
            f"/health%2f..{path}",
            f"/%76%31/{audience}/{name}",
            f"/v1/{audience}%2f{name}",
            f"/v1%2f{audience}%2f{name}",
            f"/v1\\{audience}\\{name}",
            f"/v1/{audience.upper()}/{name}",
            f"/V1/{audience}/{name.upper()}",
            f"{path}/",
            f"{path}//",
            f"{path};a=b",
            f"{path}%00",
            f"{path}%20",
            f"{path}?{path}",
            f"{path}#/health",
            f"/health%00{path}",
            f"/health?x={path}",
            f"/health#{path}",
            f"/v1/{audience}/../../health",
        ):
            more = (200,) if re.match(r"/health[?#]", trick) else ()
            answer = session.ask(trick, PROTOBUF)
            outcome.of(trick, answer, *more)


@attempt(400, 401, 403, 404, 405, CLOSED)
def wrong_methods(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Ask for every route by other methods than its own, also known ones, and made-up ones."""
    methods = ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "post")
    with door.session() as session:
        for number, route in enumerate(door.routes):
            for method in (methods[number % len(methods)], methods[(number + 4) % len(methods)]):
                known = ground.credentials(door, route)
                answer = session.ask(route.path, known, b"", method)
                outcome.of(f"{method} {route.path}", answer)
        for method in methods[2:]:
            outcome.of(f"{method} /health", session.ask("/health", (), b"", method))


@attempt(400, 401, 403, 404, 405, 426, CLOSED)
def upgrades(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Ask for a WebSocket, for HTTP/2 and for TLS inside of TLS, on routes and beside them."""
    socket = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    clear = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABkAAQAAP__",
    }
    for path in (door.routes[0].path, "/ws"):
        for headers in (socket, clear, {"Connection": "Upgrade", "Upgrade": "TLS/1.2"}):
            with door.wire() as wire:
                wire.send(head("GET", path, headers))
                outcome.of(f"{headers['Upgrade']} {path}", wire.answer(method="GET"))


@attempt(404, 401)
def pages_for_people(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Look for descriptions of the API, consoles, metrics and files."""
    with door.session() as session:
        for path in (
            *("/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc", "/"),
            *("/metrics", "/debug", "/admin", "/.env", "/v1", "/v1/", "/favicon.ico"),
            *("/static/../superlink.db", "/health/", "/robots.txt", "/v1/control", "/v1/fleet/"),
        ):
            outcome.of(path, session.ask(path, (), b"", "GET"))


@attempt(404)
def routes_of_another_door(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Ask at one door for what another one is for, with a credential that is right there."""
    with door.session() as session:
        for other in ground.doors.values():
            theirs = {route.path for route in other.routes}
            if other.port == door.port or theirs <= {route.path for route in door.routes}:
                continue
            for route in other.routes:
                if route in door.routes:
                    continue
                known = ground.credentials(other, route)
                outcome.of(route.path, session.ask(route.path, known, b"", route.method))


@attempt(401)
def false_origin(ground: Ground, door: Door, outcome: Outcome) -> None:
    """Say to come from another address, and write lines of one's own into the log."""
    mark = "forged by nobody"
    pairs = [
        *PROTOBUF.items(),
        ("X-Forwarded-For", "203.0.113.7"),
        ("Forwarded", "for=203.0.113.7"),
        ("X-Real-IP", "203.0.113.7"),
        ("User-Agent", mark),
    ]
    log = door.process.log_file
    size = log.stat().st_size
    outcome.of("forwarded", door.ask(door.routes[0].path, pairs))
    for path in (
        f"/%0aERROR {mark}".replace(" ", "%20"),
        f"/\rERROR{mark[:6]}",
        f"/\x1b[2J{mark}",
    ):
        outcome.of(repr(path), _first(door, head("POST", path, pairs)), 400, 404, CLOSED)
    written = log.read_bytes()[size:].decode(errors="replace")
    outcome.expect("the log says that it was somebody else", "203.0.113.7" not in written)
    lines = [line for line in written.splitlines() if "\x1b" in line or not parse_line(line)]
    outcome.expect(
        f"the log has lines of the attacker's: {lines}", not any(mark in x for x in lines)
    )
