"""SIGKILL to the SuperNode at every named point: the runs come to what undisturbed ones do."""

from .conftest import Killable

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
