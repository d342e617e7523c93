"""Accounts in containers: the tool makes and revokes them, and the SuperLink takes that up."""

from dataclasses import replace

import pytest

from fedstate.flower.control import AccessError, control
from tests.stack.containers.stack import NODES, Stack

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]


def test_the_tool_makes_and_revokes_an_account(stack: Stack) -> None:
    add = ("account", "add", "alice", "--role", "submitter", "--output", "-")
    token = stack.tool("fedstate", *add).strip()
    with control(replace(stack.connection, token=token)) as link:
        assert link.run_statuses() == {}
        with pytest.raises(AccessError, match="'alice' is a submitter"):
            link.nodes()
        stack.tool("fedstate", "account", "revoke", "alice")
        with pytest.raises(AccessError, match="'alice' was revoked"):
            link.run_statuses()


def test_who_has_no_token_is_refused_and_the_operator_is_not(stack: Stack) -> None:
    with (
        control(replace(stack.connection, token=None)) as link,
        pytest.raises(AccessError, match="answers accounts alone"),
    ):
        link.nodes()
    assert len(stack.nodes()) == len(NODES)
    assert "operator" in stack.tool("fedstate", "account", "list")
    assert stack.tool("flwr", "list", "--format", "json")


@pytest.mark.parametrize("service", ["supernode-1", "executor-1", "serverapp"])
def test_nodes_and_apps_have_no_token(stack: Stack, service: str) -> None:
    """Neither the token nor a credential of it is in what they mount, and not in their /proc."""
    token = stack.connection.token
    assert token
    find = f"! grep -rqs {token[:20]} /var/lib/fedstate /tmp /proc/self/environ"
    stack.run_inside(service, "sh", "-c", find)
    stack.run_inside(service, "sh", "-c", "! ls /var/lib/fedstate/operator/token")
