"""What a stranger's request costs a SuperLink, which is refused before its body is read."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx

from bench.federations import OURS, cpu_seconds, federation
from bench.row import Row
from fedstate.errors import FederationError
from fedstate.local.execute import execute
from fedstate.local.federation import Federation

GOAL_SECONDS = 0.01
# A request to each of the three APIs, whose body nobody is to read.
_CALLS = ("/v1/control/list-runs", "/v1/fleet/pull-messages", "/v1/runtime/pull-task-input")
_BODY = b"x" * 4096


def rows() -> Iterator[Row]:
    """Measure, and yield each row as soon as it stands; environment `QUICK=1` measures less."""
    count = 100 if os.environ.get("QUICK") else 1000
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as temporary,
        federation(OURS, 1, Path(temporary), execute) as here,
    ):
        seconds = _refused(here, count)
    yield Row(
        f"processor time of the SuperLink for a refused request ({1000 * seconds:.1f} ms), "
        "against 10 ms",
        seconds,
        GOAL_SECONDS,
        1.0,
        "s",
    )


def _refused(here: Federation, count: int) -> float:
    """Send requests without a credential, each over a connection of its own, as strangers do."""
    trusted = ssl.create_default_context(cafile=str(here.root_certificates))
    ports = (here.ports.control, here.ports.fleet, here.ports.runtime)
    calls = [f"https://127.0.0.1:{port}{path}" for port, path in zip(ports, _CALLS, strict=True)]
    before = cpu_seconds(here.superlink)
    for number in range(count):
        answer = httpx.post(
            calls[number % len(calls)],
            content=_BODY,
            headers={"content-type": "application/x-protobuf"},
            verify=trusted,
        )
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            raise FederationError(f"A stranger was answered with {answer.status_code}.")
    return (cpu_seconds(here.superlink) - before) / count
