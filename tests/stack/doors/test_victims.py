"""When all attempts have been made: runs come to what they come to, and servers are as they were.

The last module of this directory; by itself it only shows that the runs are undisturbed.
"""

import json

import pytest

from fedstate.local.accounts import audit_log
from tests.crash.conftest import expected
from tests.stack.doors.ground import MEMORY_BYTES, REFUSALS, ROUNDS, Ground
from tests.stack.doors.memory import resident

pytestmark = [pytest.mark.timeout(900), pytest.mark.allowed_errors(*REFUSALS)]


def test_servers_have_the_memory_that_they_had(ground: Ground) -> None:
    grown = {
        process.name: resident(process) - ground.began[process.name] for process in ground.servers
    }
    assert not {server: size for server, size in grown.items() if size > MEMORY_BYTES}


def test_the_audit_log_tells_of_the_calls_line_by_line(ground: Ground) -> None:
    file = audit_log(ground.federation.directory / "superlink")
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"operator"} <= {entry["account"] for entry in entries if entry["status"] == 200}
    peers = {entry["peer"].rpartition(":")[0] for entry in entries}
    assert all(peer.startswith("127.0.") for peer in peers), peers


def test_runs_come_to_what_an_undisturbed_one_comes_to(ground: Ground) -> None:
    ground.finish()
    undisturbed = ground.undisturbed.outcome()
    assert undisturbed == expected(ROUNDS, 0)
    assert ground.going.outcome() == undisturbed
    assert ground.paused.outcome() == undisturbed
