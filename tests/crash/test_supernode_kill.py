"""SIGKILL to the SuperNode at every named point: the runs come to what undisturbed ones do."""

import re
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.exchange.messages import BATCH_BYTES
from fedstate.local.runs import wait_for_runs
from fedstate.store.content import ContentDirectory
from fedstate.store.database import connect
from fedstate.store.schema import MIGRATIONS, version
from tests.logs import check_log, node_log
from tests.waiting import wait_until

from .conftest import RUN_SECONDS, Killable, runs_in

# Each SuperNode is killed at the first pass of the next of its points, so that every restart
# resumes what the kill before it left. The two nodes meet theirs at the same time.
POINTS = [
    "message-pulled",
    "message-stored",
    "task-created",
    "context-loaded",
    "commit-started",
    "store-write",
    "step-committed",
    "receipt-signed",
    "reply-sent",
    "reply-noted",
]


def test_runs_that_meet_every_kill_come_to_what_undisturbed_runs_do(killable: Killable) -> None:
    nodes = killable.federation.nodes
    rounds = len(POINTS) // len(nodes) + 1
    meetings = list(zip(*[iter(POINTS)] * len(nodes), strict=True))
    for node, point in zip(nodes, meetings[0], strict=True):
        node.supernode.stop()
        killable.start(node, f"{point}=kill")
    killable.federation.wait_until_connected()
    runs = [killable.submit(rounds=rounds, resend=True) for _ in range(2)]
    for points in (*meetings[1:], None):
        for number, node in enumerate(nodes):
            killable.wait_for_kill(node)
            killable.start(node, f"{points[number]}=kill" if points else "")
    killable.wait(*runs)
    for node in nodes:
        openings = set()
        for run in runs:
            records = check_log(killable.state_of(node), run.run_id)
            # However often a step was begun, its state and its row were committed once.
            assert [each.reason for each in records if not each.committed] == []
            trained = [each for each in records if each.action == "train"]
            assert [each.group_id for each in trained] == [str(n) for n in range(1, rounds + 1)]
            openings |= {each.opening for each in records}
        # Each SuperNode has opened the store under another name; one was killed after a commit.
        assert len(openings) > 1


@pytest.mark.allowed_errors(r"failed as configured")
def test_a_failure_is_in_the_log_before_its_error_leaves(killable: Killable) -> None:
    node = killable.federation.nodes[0]
    node.supernode.stop()
    killable.start(node, "failure-recorded=kill")
    killable.federation.wait_until_connected()
    run = killable.submit(rounds=3, fail_round=2, resend=True)
    killable.wait_for_kill(node)
    directory = killable.state_of(node)
    with node_log(directory) as log:
        before, failed = log.records(run.run_id)
        assert log.steps()[failed.message_id] == "received"
    assert (failed.outcome, failed.stored) == ("failed", before.stored)
    assert failed.handed_out == before.stored
    assert "failed as configured" in failed.reason
    # Nobody has heard of it: the step is made again, and fails once more.
    killable.start(node)
    wait_for_runs(killable.federation, [run.run_id], RUN_SECONDS)
    records = check_log(directory, run.run_id)
    assert [each.message_id for each in records].count(failed.message_id) == 2
    assert [each.outcome for each in records[:4]] == [
        *("committed", "failed", "failed", "committed")
    ]


@pytest.mark.parametrize("point", ["receipt-sent", "reply-announced"])
def test_a_reply_that_was_half_sent_arrives_as_a_whole(killable: Killable, point: str) -> None:
    """The ServerApp has taken the reply by then, and would wait three minutes for the rest."""
    node = killable.federation.nodes[0]
    node.supernode.stop()
    killable.start(node, f"{point}=kill")
    killable.federation.wait_until_connected()
    # A reply that is large enough to be sent in parts.
    run = killable.submit(rounds=2, values=BATCH_BYTES // 8 + 1)
    killable.wait_for_kill(node)
    killable.start(node)
    killable.wait(run, seconds=60)
    check_log(killable.state_of(node), run.run_id)


# The last schema without the log of steps.
OLDER = [migration.name for migration in MIGRATIONS].index("the log of steps")


def make_older(database: Path) -> None:
    """Take back the newest migrations, as if an older fedstate had written the store."""
    statements = [each for migration in MIGRATIONS[OLDER:] for each in migration.statements]
    tables = re.findall(r"CREATE TABLE (\w+)", " ".join(statements))
    with closing(connect(database, write=True)) as connection:
        connection.execute("BEGIN")
        content = ContentDirectory(database.parent)
        for chunk_id, *place in connection.execute(
            "SELECT chunk_id, file_id, start, length FROM chunk_place"
        ).fetchall():
            connection.execute(
                "UPDATE chunk SET data = ? WHERE chunk_id = ?", (content.read(*place), chunk_id)
            )
        for table in reversed(tables):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM migration WHERE version > ?", (OLDER,))
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
        assert version(connection) == OLDER

    killable.start(node)
    # The runs that ended are freed at last, the one that is going on is not.
    wait_until(lambda: runs_in(database) == 1, 90, "the retention")
    go.touch()
    killable.wait(run)
    # What was before the migration is not in the log, which says so.
    records = check_log(killable.state_of(node), run.run_id, begins_empty=False)
    with node_log(killable.state_of(node)) as log:
        chain = log.chain(run.run_id)
    assert chain is not None
    assert not chain.complete
    assert records[0].handed_out
    del node.supernode.command[-2:]
