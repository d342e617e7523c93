"""What a supervisor of an executor relies on: its health over gRPC, and its end with a parent."""

import signal
import subprocess
import sys

import grpc  # type: ignore[import-untyped]  # it ships none
from grpc_health.v1 import (  # type: ignore[import-untyped]  # nor does this
    health_pb2,
    health_pb2_grpc,
)

from fedstate.local.process import free_port

SERVING = health_pb2.HealthCheckResponse.SERVING

PROGRAM = """
import signal, sys, time
import grpc._server
# A shell that runs the tests in its background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
# How often it looks whether anything refers to the server.
grpc._server._DEALLOCATED_SERVER_CHECK_PERIOD_S = 0.001
from fedstate.flower.monitors import end_with, serving_health
with serving_health(sys.argv[1]):
    end_with(int(sys.argv[2]))
    print("watching", flush=True)
    while True:  # the signal is raised on a thread: it interrupts no call of the main one
        time.sleep(0.1)
"""


def test_it_is_well_until_it_ends_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-c", PROGRAM, address, str(parent.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"watching\n"
            with grpc.insecure_channel(address) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                answers = [
                    stub.Check(health_pb2.HealthCheckRequest(), timeout=30) for _ in range(20)
                ]
            assert {each.status for each in answers} == {SERVING}
            assert child.poll() is None
            parent.kill()
            parent.wait()
            assert child.wait(30) == -signal.SIGINT
        finally:
            child.kill()
            parent.kill()
            parent.wait()
