"""SIGKILL to the SuperNode at every named point: the runs come to what undisturbed ones do."""

from contextlib import closing
from pathlib import Path

from fedstate.store.database import connect
from fedstate.store.schema import MIGRATIONS, version
from tests.waiting import wait_until

from .conftest import Killable, runs_in

# Each SuperNode is killed at the first pass of the next point, so that every restart resumes
# what the kill before it left.
POINTS = [
    "message-pulled",
    "message-stored",
    "task-created",
    "context-loaded",
    "commit-started",
    "store-write",
    "step-committed",
    "reply-sent",
]


def test_runs_that_meet_every_kill_come_to_what_undisturbed_runs_do(killable: Killable) -> None:
    node = killable.federation.nodes[0]
    rounds = len(POINTS) + 1
    node.supernode.stop()
    killable.start(node, f"{POINTS[0]}=kill")
    killable.federation.wait_until_connected()
    runs = [killable.submit(rounds=rounds, resend=True) for _ in range(2)]
    for point in POINTS[1:]:
        killable.wait_for_kill(node)
        killable.start(node, f"{point}=kill")
    killable.wait_for_kill(node)
    killable.start(node)
    killable.wait(*runs)


def test_a_reply_that_was_half_sent_arrives_as_a_whole(killable: Killable) -> None:
    """The ServerApp has taken the reply by then, and would wait three minutes for the rest."""
    node = killable.federation.nodes[0]
    node.supernode.stop()
    killable.start(node, "reply-announced=kill")
    killable.federation.wait_until_connected()
    # A reply that is large enough to be sent in parts.
    run = killable.submit(rounds=2, values=600_000)
    killable.wait_for_kill(node)
    killable.start(node)
    killable.wait(run, seconds=60)


def make_older(database: Path) -> None:
    """Take back the newest migration, as if an older fedstate had written the store."""
    assert MIGRATIONS[-1].name == "runs that the SuperLink does not know"
    with closing(connect(database, write=True)) as connection:
        connection.execute("BEGIN")
        connection.execute("DROP TABLE unknown_run")
        connection.execute("DELETE FROM migration WHERE version = ?", (len(MIGRATIONS),))
        connection.execute("COMMIT")


def test_a_run_goes_on_after_kills_during_retention_and_migration(killable: Killable) -> None:
    node = killable.federation.nodes[0]
    (database,) = node.directory.glob("flwr/fedstate/nodes/*/node.db")
    killable.wait(killable.submit(rounds=1))
    ended = runs_in(database)
    run, go = killable.submit_pausing(2, resend=True)
    killable.wait_for_pause(go)

    node.supernode.kill()
    node.supernode.command += ["--retain", "0s"]
    killable.start(node, "retention=kill")
    killable.wait_for_kill(node)
    assert runs_in(database) == ended + 1

    make_older(database)
    killable.start(node, "migration=kill")
    killable.wait_for_kill(node)
    with closing(connect(database, write=False)) as connection:
        assert version(connection) == len(MIGRATIONS) - 1

    killable.start(node)
    # The runs that ended are freed at last, the one that is going on is not.
    wait_until(lambda: runs_in(database) == 1, 90, "the retention")
    go.touch()
    killable.wait(run)
    del node.supernode.command[-2:]
