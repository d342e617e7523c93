"""SIGKILL to the SuperNode at every named point: the run comes to exactly what it would have."""

import pytest

from .conftest import Killable

POINTS = [
    "message-pulled",
    "message-stored",
    "task-created",
    "context-loaded",
    "commit-started",
    "store-write:6",
    "step-committed",
    "reply-sent",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_supernode_killed_at_a_point_goes_on_as_if_nothing_had_happened(
    killable: Killable, point: str
) -> None:
    node = killable.federation.nodes[0]
    name, _, count = point.partition(":")
    with killable.armed(node, f"{name}=kill:{count or 2}"):
        runs = [killable.submit(resend=True), killable.submit(resend=True)]
        killable.restart(node)
        killable.wait(*runs)
