"""Accounts at flwr's SuperLink: which calls an account may make, and which runs are its own."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from flwr.common.serde import fab_to_proto
from flwr.proto.control_pb2 import (
    GetLoginDetailsRequest,
    ListFederationsRequest,
    ListNodesRequest,
    ListRunsRequest,
    PullArtifactsRequest,
    RefreshAuthTokensRequest,
    RegisterNodeRequest,
    ShowFederationRequest,
    StartRunRequest,
    StopRunRequest,
    StreamLogsRequest,
    StreamRunEventsRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from tests.contract.flower.in_process import SuperLink, counting_fab
from tests.waiting import wait_until

from fedstate.accounts import errors
from fedstate.accounts.account import Role
from fedstate.accounts.accounts import Accounts
from fedstate.accounts.audit import AuditLog
from fedstate.accounts.changes import add_account, revoke_account
from fedstate.accounts.roles import PREFIX, ROUTES, Access
from fedstate.accounts.tokens import revoked_token
from fedstate.errors import FederationError
from fedstate.flower.control import AccessError
from fedstate.superlink.control_door import Door

PROTOBUF = {"content-type": "application/protobuf"}


class Site:
    """A SuperLink with an operator and two submitters."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "accounts.toml"
        self.audit_file = directory / "audit.log"
        roles = {"olga": Role.OPERATOR, "alice": Role.SUBMITTER, "bob": Role.SUBMITTER}
        self.tokens = {name: add_account(self.file, name, role) for name, role in roles.items()}
        door = Door(Accounts(self.file), AuditLog(self.audit_file))
        self.superlink = SuperLink(directory, door=door)

    def client(self, name: str | None) -> ControlHttpClient:
        return self.superlink.control(self.tokens.get(name or ""))._client

    def start(self, name: str, **more: Any) -> int:
        """Start a run as an account."""
        content = counting_fab()
        request = StartRunRequest(fab=fab_to_proto(Fab("", content, {})), **more)
        return int(self.client(name).StartRun(request).run_id)

    def call(self, path: str, token: str | None) -> httpx.Response:
        """Make a call with an empty message."""
        headers = PROTOBUF | ({"authorization": f"Bearer {token}"} if token else {})
        with httpx.Client(transport=self.superlink.transport, headers=headers) as client:
            return client.post(f"http://superlink{path}")

    def audited(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("accounts"))
    with site.superlink:
        yield site


@pytest.fixture(scope="module")
def runs(site: Site) -> dict[str, int]:
    """A run of each account."""
    return {name: site.start(name) for name in site.tokens}


def refusal(call: Callable[[], Any]) -> tuple[int, FlowerError]:
    """Return the status and the error with which a call is refused."""
    with pytest.raises(httpx.HTTPStatusError) as raised:
        call()
    error = FlowerError.from_json(raised.value.response.text)
    assert error is not None, "in flwr's format, or its command line shows no sentence"
    return raised.value.response.status_code, error


def test_the_table_has_every_route_of_the_control_api(site: Site) -> None:
    parsed = {path for _, path in PROTOBUF_REQUEST_TYPES if path.startswith(PREFIX)}
    paths = {each.path for each in iter_route_contexts(site.superlink.app.routes)}
    served = {path for path in paths if path and path.startswith(PREFIX)}
    assert parsed == served == set(ROUTES), "say in fedstate.accounts.roles whose the new call is"


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_a_call_is_refused_to_who_may_not_make_it(site: Site, path: str) -> None:
    for token in (None, "fedstate_wrong", ""):
        expected = 403 if ROUTES[path] is Access.NOBODY else 401
        assert site.call(path, token).status_code == expected
    submitters = site.call(path, site.tokens["alice"]).status_code
    operators = site.call(path, site.tokens["olga"]).status_code
    assert (submitters == 403) == (ROUTES[path] is not Access.OWN_RUNS)
    assert (operators in (401, 403)) == (ROUTES[path] is Access.NOBODY)


def test_a_route_that_nobody_knows_is_for_operators(site: Site) -> None:
    assert site.call(f"{PREFIX}new-call", site.tokens["alice"]).status_code == 403
    assert site.call(f"{PREFIX}new-call", site.tokens["olga"]).status_code == 404


def test_the_numbers_of_refusals_are_flwrs() -> None:
    assert errors.AUTHENTICATION_FAILED == ApiErrorCode.ACCOUNT_AUTHENTICATION_FAILED
    assert errors.NO_PERMISSION == ApiErrorCode.NO_PERMISSIONS
    assert errors.NOT_THE_ACCOUNTS_RUN == ApiErrorCode.RUN_ID_NOT_BELONG_TO_ACCOUNT
    assert errors.NO_ACCOUNTS == ApiErrorCode.ACCOUNT_AUTHENTICATION_NOT_INITIALIZED


def test_submitters_list_their_own_runs_and_operators_all(
    site: Site, runs: dict[str, int]
) -> None:
    for name in ("alice", "bob"):
        listed = site.client(name).ListRuns(ListRunsRequest()).run_dict
        assert runs[name] in listed
        assert {run.account_name for run in listed.values()} == {name}
    listed = site.client("olga").ListRuns(ListRunsRequest()).run_dict
    assert {name: listed[run].account_name for name, run in runs.items()} == {
        name: name for name in runs
    }


@pytest.mark.parametrize(
    "call",
    [
        lambda client, run: client.ListRuns(ListRunsRequest(run_id=run)),
        lambda client, run: client.StopRun(StopRunRequest(run_id=run)),
        lambda client, run: next(client.StreamLogs(StreamLogsRequest(run_id=run))),
        lambda client, run: next(client.StreamRunEvents(StreamRunEventsRequest(run_id=run))),
        lambda client, run: client.PullArtifacts(PullArtifactsRequest(run_id=run)),
    ],
    ids=["list", "stop", "log", "events", "artifacts"],
)
def test_a_run_of_another_account_is_refused(
    site: Site, runs: dict[str, int], call: Callable[[ControlHttpClient, int], Any]
) -> None:
    status, error = refusal(lambda: call(site.client("alice"), runs["bob"]))
    assert (status, error.code) == (403, ApiErrorCode.RUN_ID_NOT_BELONG_TO_ACCOUNT)
    assert error.message == (
        f"Run {runs['bob']} is not one of account 'alice', which is a submitter and has its own "
        "runs alone."
    )
    status, error = refusal(lambda: call(site.client("alice"), 12345))
    assert status in (404, 501), "flwr says that there is no such run, or no artifacts"


def test_a_stream_ends_when_its_account_is_revoked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedstate.accounts.streams.LOOK_SECONDS", 0.02)
    site.tokens["carol"] = add_account(site.file, "carol", Role.SUBMITTER)
    run = site.start("carol")
    logs: list[Any] = []
    events: list[Any] = []

    def follow_events() -> None:
        try:
            events.extend(
                site.client("carol").StreamRunEvents(StreamRunEventsRequest(run_id=run))
            )
        except ValueError as error:
            events.append(error)

    def follow_logs() -> None:
        logs.extend(site.client("carol").StreamLogs(StreamLogsRequest(run_id=run)))

    threads = [threading.Thread(target=each) for each in (follow_events, follow_logs)]
    for thread in threads:
        thread.start()

    def followed() -> set[str]:
        return {each["call"] for each in site.audited() if each["account"] == "carol"}

    wait_until(lambda: followed() >= {"stream-logs", "stream-run-events"}, 60)
    revoke_account(site.file, "carol")
    for thread in threads:
        thread.join(60)
    assert logs[-1].log_output == f"\n{revoked_token('carol')}\n"
    assert str(events[-1]) == "Truncated protobuf stream frame", "this is no end of the run"
    assert site.client("olga").ListRuns(ListRunsRequest(run_id=run)).run_dict, "it goes on"


def test_the_evidence_is_that_of_own_runs(site: Site, runs: dict[str, int]) -> None:
    control = site.superlink.control(site.tokens["alice"])
    known = [run.run_id for page in control.evidence() for run in page.runs]
    assert runs["alice"] in known
    assert runs["bob"] not in known
    assert list(control.evidence([runs["alice"]], ask_nodes=False))
    with pytest.raises(AccessError, match=f"says: Run {runs['bob']} is not one of account"):
        list(control.evidence([runs["alice"], runs["bob"]], ask_nodes=False))
    operator = site.superlink.control(site.tokens["olga"])
    assert set(runs.values()) <= {run.run_id for page in operator.evidence() for run in page.runs}


def test_a_run_does_not_join_the_series_of_another_account(
    site: Site, runs: dict[str, int]
) -> None:
    series = {
        name: site.superlink.state.get_run_info(run_ids=[run])[0].series_id
        for name, run in runs.items()
    }
    status, _ = refusal(lambda: site.start("alice", series_id=series["bob"]))
    assert status == 403
    assert site.start("alice", series_id=series["alice"])


def test_connectors_are_the_operators(site: Site) -> None:
    status, error = refusal(lambda: site.start("alice", connector_ids=[1]))
    assert status == 403
    assert "only an operator may start a run with one" in error.message


def test_an_account_stops_its_own_run_and_an_operator_any(site: Site) -> None:
    assert site.client("bob").StopRun(StopRunRequest(run_id=site.start("bob"))).success
    assert site.client("olga").StopRun(StopRunRequest(run_id=site.start("bob"))).success


def test_nodes_and_runs_from_before_are_the_operators(site: Site, tmp_path: Path) -> None:
    with SuperLink(tmp_path) as without:
        old_run = (
            without.control()
            ._client.StartRun(StartRunRequest(fab=fab_to_proto(Fab("", counting_fab(), {}))))
            .run_id
        )
        node = without.control()._client.RegisterNode(RegisterNodeRequest(public_key=_key()))
    with SuperLink(tmp_path, door=Door(Accounts(site.file))) as later:
        operator = later.control(site.tokens["olga"])._client
        assert list(operator.ListRuns(ListRunsRequest()).run_dict) == [old_run]
        (listed,) = operator.ListNodes(ListNodesRequest()).nodes_info
        assert listed.node_id == node.node_id
        alice = later.control(site.tokens["alice"])._client
        assert not alice.ListRuns(ListRunsRequest()).run_dict
        operator.UnregisterNode(UnregisterNodeRequest(node_id=node.node_id))
        assert operator.StopRun(StopRunRequest(run_id=old_run)).success


def _key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    return public_key_to_bytes(ec.generate_private_key(ec.SECP384R1()).public_key())


def test_the_federation_shows_its_members(site: Site) -> None:
    operator = site.client("olga")
    (federation,) = operator.ListFederations(ListFederationsRequest()).federations
    shown = operator.ShowFederation(ShowFederationRequest(federation_name=federation.name))
    assert {member.account.name for member in shown.federation.members} >= {"olga", "alice"}


@pytest.mark.parametrize("name", [None, "olga"])
def test_there_is_no_login(site: Site, name: str | None) -> None:
    client = site.client(name)
    for call in (
        lambda: client.GetLoginDetails(GetLoginDetailsRequest()),
        lambda: client.RefreshAuthTokens(RefreshAuthTokensRequest(refresh_token="x")),
    ):
        status, error = refusal(call)
        assert status == 403
        assert error.message.startswith("This SuperLink has no login: its operator makes a token")


def test_a_token_that_is_revoked_is_refused_at_once(site: Site) -> None:
    token = add_account(site.file, "carol", Role.OPERATOR)
    carol = site.superlink.control(token)
    assert carol.nodes() == []
    revoke_account(site.file, "carol")
    with pytest.raises(AccessError, match="The token of account 'carol' was revoked"):
        carol.nodes()


def test_accounts_that_cannot_be_read_open_nothing(site: Site) -> None:
    content = site.file.read_bytes()
    operator = site.superlink.control(site.tokens["olga"])
    try:
        for damage in (b"version = 1\n[acc", content.replace(b"submitter", b"operators"), b""):
            site.file.write_bytes(damage)
            with pytest.raises(FederationError, match="cannot read its accounts"):
                operator.nodes()
            site.file.unlink()
            with pytest.raises(FederationError, match="cannot read its accounts"):
                operator.nodes()
    finally:
        site.file.write_bytes(content)
        site.file.chmod(0o600)
    assert operator.nodes() == []


def test_every_call_is_audited(site: Site, runs: dict[str, int]) -> None:
    seen = len(site.audited())
    new = site.start("alice")
    refusal(lambda: site.client("alice").StopRun(StopRunRequest(run_id=runs["bob"])))
    refusal(lambda: site.client("alice").ListNodes(ListNodesRequest()))
    refusal(lambda: site.client(None).ListNodes(ListNodesRequest()))
    site.call(f"{PREFIX}stop-run", "fedstate_wrong")
    lines = site.audited()[seen:]
    assert [
        (each["account"], each["call"], each.get("run"), each["status"]) for each in lines
    ] == [
        ("alice", "start-run", str(new), 200),
        ("alice", "stop-run", str(runs["bob"]), 403),
        ("alice", "list-nodes", None, 403),
        (None, "list-nodes", None, 401),
        (None, "stop-run", None, 401),
    ]
    assert [each["outcome"] for each in lines] == ["allowed"] + ["refused"] * 4
    assert all(each["reason"] for each in lines[1:])
    assert all(each["peer"] for each in lines)
    everything = site.audit_file.read_text()
    assert not any(token in everything for token in (*site.tokens.values(), "fedstate_wrong"))


def test_without_accounts_anybody_may_as_at_flwrs_own(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / "audit.log")
    with SuperLink(tmp_path, door=Door(audit=audit)) as superlink:
        assert superlink.control().nodes() == []
        assert superlink.control("fedstate_ignored").nodes() == []
    (first, _) = (tmp_path / "audit.log").read_text().splitlines()
    assert json.loads(first)["account"] is None
