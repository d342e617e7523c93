"""Asking for health over real TLS, and what it costs to ask."""

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.errors import FederationError
from fedstate.executor.heartbeat import write_heartbeat
from fedstate.health import UntrustedError, check_health
from fedstate.local.process import free_port
from tests.commands import fedstate

NEW_MODULES = """
import sys
before = set(sys.modules)
import {module}
print(*sorted({{name.split('.')[0] for name in set(sys.modules) - before}}))
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    ensure_server_certificate(tmp_path, ensure_authority(tmp_path / "authority"), ["127.0.0.1"])
    with served(tmp_path) as address:
        yield address


@contextmanager
def served(tmp_path: Path, handler: type[Handler] = Handler) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_well_service_answers(address: str, tmp_path: Path) -> None:
    assert check_health(f"{address}/health", tmp_path / "ca.crt") == 200


@contextmanager
def on_a_socket(path: Path, handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    class AtSocket(HTTPServer):
        address_family = socket.AF_UNIX

        def server_bind(self) -> None:
            self.socket.bind(str(path))

    class Answering(handler):  # type: ignore[misc,valid-type]
        def address_string(self) -> str:
            return "nobody"

    with AtSocket((str(path), 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"unix:{path}"
        server.shutdown()
        thread.join()


def test_a_service_is_asked_on_its_socket(tmp_path: Path) -> None:
    class Troubled(Handler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"problems": ["The disk is full."]}')

    warnings: list[str] = []
    with on_a_socket(tmp_path / "s", Troubled) as address:
        assert check_health(address, None, warnings.append) == 200
    assert warnings == ["The disk is full."]


def test_a_socket_that_is_not_well_is_said(tmp_path: Path) -> None:
    class Unwell(Handler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

    path = tmp_path / "s"
    with (
        on_a_socket(path, Unwell) as address,
        pytest.raises(FederationError, match="answers 503"),
    ):
        check_health(address, None)
    with pytest.raises(
        FederationError, match=rf"^unix:{path} is not well: nothing listens there"
    ):
        check_health(f"unix:{path}", None)
    with pytest.raises(FederationError, match=r"gone is not well: there is no such socket\.$"):
        check_health(f"unix:{tmp_path}/gone", None)
    (tmp_path / "file").touch()
    with pytest.raises(FederationError, match=r"file is not well: nothing listens there"):
        check_health(f"unix:{tmp_path}/file", None)


def test_an_unwell_service_is_said(address: str, tmp_path: Path) -> None:
    with pytest.raises(
        FederationError, match=r"/broken is not well: it answers 503 Service Unavailable\."
    ):
        check_health(f"{address}/broken", tmp_path / "ca.crt")


def test_what_expires_soon_is_said_in_a_line_of_its_own(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path / "authority", lifetime=timedelta(days=20))
    ensure_server_certificate(tmp_path, authority, ["127.0.0.1"], lifetime=timedelta(days=10))
    with served(tmp_path) as address:
        done = fedstate("health", f"{address}/health", "--root-certificates", tmp_path / "ca.crt")
        assert done.exit_code == 0
        well, certificate, authority_line = done.stdout.splitlines()
        assert well == f"{address}/health is well."
        assert "The certificate of 127.0.0.1:" in certificate
        assert "in 9 days: `fedstate certificates renew` makes another." in certificate
        assert authority_line.startswith(f"The authority {tmp_path / 'ca.crt'} expires on ")
        assert "in 19 days: `fedstate certificates renew --new-authority`" in authority_line
        # As a container asks.
        asked = subprocess.run(
            [sys.executable, "-m", "fedstate.health", f"{address}/health", tmp_path / "ca.crt"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert asked.stdout.splitlines() == [certificate, authority_line]


def test_what_has_expired_is_said(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path / "authority")
    lifetime = timedelta(minutes=-1)
    ensure_server_certificate(tmp_path, authority, ["127.0.0.1"], lifetime=lifetime)
    with (
        served(tmp_path) as address,
        pytest.raises(FederationError, match=r"is not well: The certificate of .* has expired"),
    ):
        check_health(f"{address}/health", tmp_path / "ca.crt")


def test_what_lasts_is_not_spoken_of(address: str, tmp_path: Path) -> None:
    done = fedstate("health", f"{address}/health", "--root-certificates", tmp_path / "ca.crt")
    assert done.stdout == f"{address}/health is well.\n"


def test_another_authority_is_not_trusted(address: str, tmp_path: Path) -> None:
    ensure_authority(tmp_path / "other")
    with pytest.raises(UntrustedError, match="is not signed by an authority that is trusted"):
        check_health(f"{address}/health", tmp_path / "other" / "ca.crt")


@pytest.mark.parametrize("path", ["", "/", "/health", "/health/"])
def test_an_address_is_asked_for_its_health(address: str, tmp_path: Path, path: str) -> None:
    assert check_health(address + path, tmp_path / "ca.crt") == 200
    assert check_health(address.removeprefix("https://"), tmp_path / "ca.crt") == 200


@pytest.mark.parametrize(
    "address",
    [
        *("http://localhost/health", "file:///etc/passwd", "localhost", "", ":8000", "a:b"),
        *("a:0", "a:65536", "https://", "127.0.0.1"),
    ],
)
def test_what_is_no_address_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(FederationError, match=f"'{address}' is not an address: give HOST:PORT"):
        check_health(address, tmp_path / "ca.crt")


class NotFound(Handler):
    def do_GET(self) -> None:
        self.send_error(404)


class NoHttp(Handler):
    def handle(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH\r\n")


@pytest.mark.parametrize(
    ("handler", "culprit"),
    [
        (NotFound, "answers 404 Not Found: what listens there is no SuperLink or SuperNode."),
        (NoHttp, "what listens there does not speak HTTP (SSH-2.0-OpenSSH"),
    ],
)
def test_something_else_that_listens_is_said(
    tmp_path: Path, handler: type[Handler], culprit: str
) -> None:
    ensure_server_certificate(tmp_path, ensure_authority(tmp_path / "authority"), ["127.0.0.1"])
    with served(tmp_path, handler) as address, pytest.raises(FederationError) as raised:
        check_health(address, tmp_path / "ca.crt")
    assert culprit in str(raised.value)


def test_a_server_without_tls_is_said(tmp_path: Path) -> None:
    ensure_authority(tmp_path)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(FederationError, match="which does not speak it"):
            check_health(f"127.0.0.1:{server.server_port}", tmp_path / "ca.crt")
        thread.join()


@pytest.mark.parametrize(
    ("address", "culprit"),
    [
        ("127.0.0.1:{free}", "nothing listens there"),
        ("no-such-host.invalid:8000", "its name is not known here"),
    ],
)
def test_nobody_who_answers_is_said(tmp_path: Path, address: str, culprit: str) -> None:
    ensure_authority(tmp_path)
    asked = address.format(free=free_port())
    with pytest.raises(FederationError, match=f"{asked} is not well: {culprit}"):
        check_health(asked, tmp_path / "ca.crt")


@pytest.mark.parametrize(
    ("content", "culprit"),
    [(None, "cannot be read (No such file or directory)"), ("x", "hold no PEM certificate")],
)
def test_root_certificates_that_are_none_are_the_culprit(
    tmp_path: Path, content: str | None, culprit: str
) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(FederationError) as raised:
        check_health("127.0.0.1:8000", file)
    assert str(raised.value) == (
        f"The root certificates {file} {culprit}: give the authority's ca.crt."
    )


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        (["/health"], 0),
        (["/broken"], 1),
        (["/health", "/health"], 0),
        (["/broken", "/health"], 1),
        (["/health", "/broken"], 1),
    ],
)
def test_a_container_asks_by_exit_code(
    address: str, tmp_path: Path, paths: list[str], code: int
) -> None:
    urls = [address + path for path in paths]
    answer = subprocess.run(
        [sys.executable, "-m", "fedstate.health", *urls, tmp_path / "ca.crt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == code
    assert "Traceback" not in answer.stderr


def ask_of_executor(file: Path, url: str, authority: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedstate.health", f"--executor={file}", url]
    return subprocess.run([*command, str(authority)], capture_output=True, text=True, check=False)


def test_an_executor_is_well_while_it_works_and_its_server_was_lately(
    address: str, tmp_path: Path
) -> None:
    file, ca, now = tmp_path / "heartbeat", tmp_path / "ca.crt", time.monotonic()
    write_heartbeat(file, alive=now, worked=now)
    first = ask_of_executor(file, f"{address}/broken", ca)
    assert (first.returncode, "is not well" in first.stderr) == (1, True)
    assert ask_of_executor(file, f"{address}/health", ca).returncode == 0
    assert ask_of_executor(file, f"{address}/broken", ca).returncode == 0
    # One that is yet to come was written before the clock was set back.
    for seconds in (-31, 8 * 86400):
        then = time.time() + seconds
        os.utime(f"{file}.server", (then, then))
        assert ask_of_executor(file, f"{address}/broken", ca).returncode == 1
    write_heartbeat(file, alive=now, worked=now - 60)
    silent = ask_of_executor(file, f"{address}/health", ca)
    assert silent.returncode == 1
    assert silent.stderr.startswith("fedstate: The executor has not worked for 6")


def test_asking_takes_the_standard_library_alone() -> None:
    assert new_modules("fedstate.health") <= {"fedstate", *sys.stdlib_module_names}


def test_the_command_line_starts_without_flwr() -> None:
    # Every step of a container's start is a command, and flwr takes 2 s to import.
    assert not new_modules("fedstate.cli") & {"flwr", "numpy", "tensorflow"}


def new_modules(module: str) -> set[str]:
    script = NEW_MODULES.format(module=module)
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.split())
