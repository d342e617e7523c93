"""SIGKILL to ClientApp, executor, and everything of a node at once, while it trains."""

import os
import signal

from fedstate.local.federation import START_SECONDS

from .conftest import Killable


def test_a_killed_clientapp_makes_its_step_again(killable: Killable) -> None:
    run, go = killable.submit_pausing(2, resend=True)
    process_id = killable.wait_for_pause(go)
    go.touch()
    os.kill(process_id, signal.SIGKILL)
    killable.wait(run)


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
    killable.wait(run)


def test_a_superlink_that_was_killed_goes_on_with_its_runs(killable: Killable) -> None:
    run, go = killable.submit_pausing(2, resend=True)
    killable.wait_for_pause(go)
    federation = killable.federation
    federation.superlink.kill()
    federation.superlink.start()
    federation.superlink.wait_until_healthy(
        federation.port, federation.root_certificates, START_SECONDS
    )
    go.touch()
    killable.wait(run)
    # Nothing was lost between runs either.
    killable.wait(killable.submit())
