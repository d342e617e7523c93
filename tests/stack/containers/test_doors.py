"""Who reaches which door of whom, and what is answered there: each container and this machine."""

import json
import subprocess
import sys

import pytest

from tests.stack.containers.stack import Stack

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]

CONTROL, FLEET, RUNTIME, NODE = 8000, 8001, 8002, 9094
PORTS = {"superlink": (CONTROL, FLEET, RUNTIME), "supernode-1": (NODE,), "supernode-2": (NODE,)}

# Whoever asks shows no credential. What is not served at a door is not there (404); what is wants
# to know who asks (401), except for health.
PATHS = (
    "/health",
    "/v1/control/list-runs",
    "/v1/fleet/pull-messages",
    "/v1/fleet/wait-for-messages",
    "/v1/runtime/pull-messages",
    "/v1/runtime/wait-for-tasks",
    "/docs",
    "/openapi.json",
)
OPEN = {
    CONTROL: "/v1/control/",
    FLEET: "/v1/fleet/",
    RUNTIME: "/v1/runtime/",
    NODE: "/v1/runtime/",
}

# The door of whom, and on which network; every other door is closed to them.
REACHED = {
    "this machine": {("superlink", "published", CONTROL)},
    "fedstate": {("superlink", "control", CONTROL)},
    "enrol-1": {("superlink", "control", CONTROL)},
    "supernode-1": {("superlink", "fleet", FLEET), ("supernode-1", "node-1", NODE)},
    "serverapp": {("superlink", "serverapp", RUNTIME)},
    "executor-1": {("supernode-1", "node-1", NODE)},
}

# Asks every door at once for every path: [[ADDRESS, PORT], ...] [PATH, ...], as JSON.
ASK = """
import http.client, json, ssl, sys
from concurrent.futures import ThreadPoolExecutor

doors, paths = map(json.loads, sys.argv[1:])
context = ssl._create_unverified_context()  # whom a name belongs to is not the question here

def answers(door):
    try:
        connection = http.client.HTTPSConnection(*door, timeout=5, context=context)
        connection.connect()
        found = {}
        for path in paths:
            method = "GET" if path.count("/") == 1 else "POST"
            connection.request(method, path, b"", {"content-type": "application/protobuf"})
            answer = connection.getresponse()
            answer.read()
            found[path] = answer.status
        return found
    except (OSError, http.client.HTTPException):
        return None

with ThreadPoolExecutor(len(doors)) as pool:
    print(json.dumps(list(pool.map(answers, doors))))
"""

Door = tuple[str, str, int]


def doors_of(stack: Stack) -> dict[Door, str]:
    """Return the address of every door that there could be."""
    found = {}
    for service, ports in PORTS.items():
        for network, settings in stack.inspect(service)["NetworkSettings"]["Networks"].items():
            for port in ports:
                name = network.removeprefix(f"{stack.project}_")
                found[service, name, port] = settings["IPAddress"]
    assert len(found) == 4 * 3 + 2 * 2
    return found


def asked(stack: Stack, who: str, doors: dict[Door, str]) -> dict[Door, dict[str, int]]:
    """Return what is answered to somebody by the doors that they reach."""
    addresses = [[at, port] for (_, _, port), at in doors.items()]
    script = ("-c", ASK, json.dumps(addresses), json.dumps(PATHS))
    run = ("run", "--rm", "--no-TTY", "--no-deps")
    if who == "this machine":
        output = subprocess.run(
            [sys.executable, *script], capture_output=True, text=True, check=True, timeout=120
        ).stdout
    elif who == "fedstate":
        output = stack.compose(*run, "--entrypoint", "python3", who, *script).stdout
    elif who == "enrol-1":
        output = stack.compose(*run, who, "python3", *script).stdout
    else:
        output = stack.run_inside(who, "python3", *script).stdout
    answers = json.loads(output.splitlines()[-1])
    # Where this machine has no address, what it sends may meet a proxy outside, which is no door.
    return {
        door: found
        for door, found in zip(doors, answers, strict=True)
        if found and found["/health"] == 200
    }


def check_answers(answers: dict[str, int], port: int) -> None:
    for path, status in answers.items():
        if path == "/health":
            assert status == 200
        elif path.startswith("/v1/control/") and port == CONTROL:
            assert status in (200, 401)  # 401 if the SuperLink knows accounts
        elif path.startswith(OPEN[port]):
            assert status == 401, path
        elif port != NODE or path.startswith("/v1/"):
            assert status == 404, path


@pytest.mark.parametrize("who", REACHED)
def test_each_reaches_its_own_doors_and_is_answered_there_alone(stack: Stack, who: str) -> None:
    reached = asked(stack, who, doors_of(stack))
    assert {*reached} == REACHED[who]
    for (_, _, port), answers in reached.items():
        assert {*answers} == {*PATHS}
        check_answers(answers, port)


def test_this_machine_has_the_control_api_alone(stack: Stack) -> None:
    (answers,) = asked(
        stack, "this machine", {("superlink", "this machine", stack.port): "127.0.0.1"}
    ).values()
    check_answers(answers, CONTROL)
