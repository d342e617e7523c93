"""A server whose process has no descriptor left."""

import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
from tests.unit.serving.few_descriptors import DESCRIPTORS
from tests.waiting import wait_until

from fedstate.local.process import free_port

HOST = "127.0.0.1"


def test_a_process_without_descriptors_still_answers(tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.serving.few_descriptors", str(port)],
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[3],
        )
    url = f"http://{HOST}:{port}/health"

    def is_well() -> bool:
        try:
            return httpx.get(url, timeout=10).text == "well"
        except httpx.TransportError:
            return False

    with ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.terminate)
        wait_until(is_well)
        for _ in range(DESCRIPTORS):  # more than it has left: its own are among them
            stack.callback(socket.create_connection((HOST, port), 20).close)
        wait_until(lambda: "has no descriptor left" in log.read_text())
        assert wait_until(is_well)
    assert "Traceback" not in log.read_text()
