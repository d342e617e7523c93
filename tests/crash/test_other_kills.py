"""SIGKILL to ClientApp, executor, and everything of a node at once, while it trains."""

import os
import re
import signal
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.local.federation import START_SECONDS
from fedstate.store.database import connect
from tests.waiting import wait_until

from .conftest import Killable

# A message that was sent again may be handed out to its node when the run has ended, and its
# objects are gone: flwr says so, and drops it.
pytestmark = pytest.mark.allowed_errors(r"Object [0-9a-f]{64} was not pre-registered")


def test_a_killed_clientapp_makes_its_step_again(killable: Killable) -> None:
    run, go = killable.submit_pausing(2, resend=True)
    process_id = killable.wait_for_pause(go)
    go.touch()
    os.kill(process_id, signal.SIGKILL)
    killable.wait(run)


def test_a_step_that_is_asked_for_again_before_it_is_over_is_made_again(
    killable: Killable, tmp_path: Path
) -> None:
    """The ServerApp is quick: it asks again while the SuperNode still notes the error."""
    node = killable.federation.nodes[0]
    node.supernode.stop()
    killable.start(node, f"reply-noted=pause:{tmp_path / 'noted'}")
    killable.federation.wait_until_connected()
    run, go = killable.submit_pausing(1, resend=True)
    process_id = killable.wait_for_pause(go)
    go.touch()
    os.kill(process_id, signal.SIGKILL)
    wait_until((tmp_path / "noted.reached").exists, 90, "the error")
    received = re.compile(rf"\[run {run.run_id} .*round 1 .*\]: Received: ")
    log = node.supernode.log_file
    wait_until(lambda: len(received.findall(log.read_text())) == 2, 90, "the step again")
    (tmp_path / "noted").touch()
    killable.wait(run, seconds=60)


def test_a_node_that_lost_every_process_goes_on(killable: Killable) -> None:
    node = killable.federation.nodes[0]
    runs = [killable.submit_pausing(2, resend=True), killable.submit_pausing(2, resend=True)]
    for _, go in runs:
        killable.wait_for_pause(go)
    node.supernode.kill()
    node.executor.kill()
    for _, go in runs:
        go.touch()
    node.supernode.start()
    node.executor.start()
    killable.wait(*(run for run, _ in runs))


def test_a_node_without_its_executor_waits_for_the_next_one(killable: Killable) -> None:
    node = killable.federation.nodes[0]
    run, go = killable.submit_pausing(2, resend=True)
    killable.wait_for_pause(go)
    node.executor.kill()
    go.touch()
    node.executor.start()
    # Sooner than the 60 s after which a ClientApp's token lapses.
    killable.wait(run, seconds=45)


def test_a_superlink_that_was_killed_finds_the_steps_that_were_made_without_it(
    killable: Killable,
) -> None:
    """Two runs with a step under way; one commits while there is nobody to tell."""
    federation = killable.federation
    runs = [killable.submit_pausing(2, resend=True), killable.submit_pausing(2, resend=True)]
    for _, go in runs:
        killable.wait_for_pause(go)
    federation.superlink.kill()
    (_, meanwhile), (_, afterwards) = runs
    meanwhile.touch()
    wait_until(lambda: committed_steps(killable) == 1, 90, "the commit")
    federation.superlink.start()
    federation.superlink.wait_until_healthy(
        federation.port, federation.root_certificates, START_SECONDS
    )
    afterwards.touch()
    killable.wait(*(run for run, _ in runs))
    # Nothing was lost between runs either.
    killable.wait(killable.submit())


def committed_steps(killable: Killable) -> int:
    """Return how many steps of the first node are committed and not answered."""
    (database,) = killable.federation.nodes[0].directory.glob("flwr/fedstate/nodes/*/node.db")
    with closing(connect(database, write=False)) as connection:
        count = connection.execute("SELECT count(*) FROM step WHERE status = 'committed'")
        return int(count.fetchone()[0])
