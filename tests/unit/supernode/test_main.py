"""What a SuperNode is put together of, and what ends it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import (
    Fault,
    Handle,
    SuperLink,
    answers,
    arrays,
    breaks,
    refuses_clock,
)

from fedstate.errors import SettingError
from fedstate.flower.clients import PATIENCE_SECONDS
from fedstate.flower.errors import UnauthorizedError
from fedstate.flower.own_key import OwnKey
from fedstate.flower.stored_values import Envelope
from fedstate.flower.supernode_options import SuperNodeSettings, supernode_settings
from fedstate.supernode import main
from fedstate.supernode.link import Link
from fedstate.supernode.main import DurableSettings, fingerprint, run_supernode
from fedstate.supernode.membership import Membership
from fedstate.supernode.pacing import Pacing
from fedstate.supernode.runs import Runs
from fedstate.supernode.session import SessionFile
from fedstate.supernode.steps import Steps


def settings(*options: str) -> SuperNodeSettings:
    return supernode_settings(["--insecure", "--isolation", "process", *options])


def test_a_fingerprint_stays_what_node_stores_are_bound_to() -> None:
    key = ec.derive_private_key(1234567890, ec.SECP384R1()).public_key()
    assert fingerprint(key) == "SHA256:6l7CZ8KtqFmrCZEqgV7NHtUzhFIM8EW5xX4TpHgM+oU"


def test_a_key_without_tls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="needs TLS: leave out --insecure"):
        run_supernode(replace(settings(), keys=key_pair()), DurableSettings(tmp_path))
    assert not list(tmp_path.iterdir())


def test_an_address_that_is_none_is_said_with_its_value() -> None:
    for address in ("http://superlink:9092", "superlink", "superlink:99999"):
        with pytest.raises(SettingError, match=f"'{address}', which is not HOST:PORT"):
            main._fleet_api(settings("--superlink", address), OwnKey(key_pair()))


@pytest.mark.parametrize("address", ["127.0.0.1:9092", "[::1]:9092", "superlink:9092"])
def test_every_address_of_flwrs_is_taken(address: str) -> None:
    main._fleet_api(settings("--superlink", address), OwnKey(key_pair())).close()


def test_a_node_without_a_key_keeps_the_one_that_it_made(tmp_path: Path) -> None:
    first = main._own_keys(tmp_path)
    assert fingerprint(first[1]) == fingerprint(main._own_keys(tmp_path)[1])


class LoopEndedError(Exception):
    """Ends a loop that has no other end."""


@dataclass
class Receiver:
    """Takes messages as the steps of a SuperNode do, and ends the loop at the last one."""

    last: int
    received: list[Envelope] = field(default_factory=list)
    failure: BaseException | None = None
    runs: Runs = field(default_factory=Runs)
    ended: list[int] = field(default_factory=list)

    def end_run(self, run_id: int) -> None:
        self.runs.end(run_id)
        self.ended.append(run_id)
        if self.last == 0:
            self.failure = LoopEndedError()

    def receive(self, envelope: Envelope) -> None:
        self.received.append(envelope)
        if len(self.received) == self.last:
            self.failure = LoopEndedError()


@pytest.fixture
def pulling(superlink: SuperLink, tmp_path: Path) -> Callable[..., Receiver]:
    """Return what lets a node pull so many messages in its main loop, meeting faults."""

    def pull(
        count: int,
        *faults: Fault,
        call: str = "take-message",
        ended: bool = False,
        older: bool = False,
    ) -> Receiver:
        connection = superlink.connection()
        if older:
            connection.plan("take-message", answers(404))
        session = SessionFile(tmp_path / "session", PATIENCE_SECONDS)
        api = superlink.api(connection, key_pair())
        membership = Membership(api, session, register=True)
        membership.join()
        run_id = superlink.start_run()

        def send() -> None:
            for _ in range(count):
                superlink.send(run_id, api.node_id, arrays(10))

        def first(handle: Handle) -> httpx.Response:
            """Meet the first fault, and only then have messages to pull."""
            send()
            return faults[0](handle)

        if faults:
            connection.plan(call, first, *faults[1:])
        else:
            send()
        receiver = Receiver(count)
        if ended:
            receiver.runs.begin(run_id)
            superlink.end_run(run_id)
        try:
            main._pull_messages(Link(api, membership), cast("Steps", receiver), Pacing(0.01))
        except LoopEndedError:
            assert not connection.planned(call)
            return receiver
        finally:
            membership.leave(for_good=True)
            session.close()
        raise AssertionError("the loop has ended by itself")

    return pull


def test_all_messages_are_pulled_one_after_the_other(pulling: Callable[..., Receiver]) -> None:
    assert len(pulling(3).received) == 3


@pytest.mark.parametrize(
    "fault", [breaks(httpx.ConnectError, after=False), answers(500), answers(403)]
)
@pytest.mark.parametrize("call", ["take-message", "pull-messages", "wait-for-messages"])
def test_what_passes_ends_nothing(
    pulling: Callable[..., Receiver],
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    call: str,
) -> None:
    monkeypatch.setattr(main, "_RETRY_SECONDS", 0.01)
    older = call != "take-message"
    assert len(pulling(1, fault, call=call, older=older).received) == 1


def test_a_run_of_the_node_that_has_ended_is_heard_of_once(
    pulling: Callable[..., Receiver],
) -> None:
    receiver = pulling(0, ended=True)
    assert len(receiver.ended) == 1
    assert receiver.runs.going() == []


def test_a_clock_that_is_wrong_for_a_while_ends_nothing(
    pulling: Callable[..., Receiver],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(main, "_RETRY_SECONDS", 0.01)
    assert len(pulling(1, *[refuses_clock(8 * 86400)] * 3).received) == 1
    said = [each.getMessage() for each in caplog.records if each.levelname != "INFO"]
    assert sum("clock is 8 days ahead of that of the SuperLink" in each for each in said) == 1
    assert not any(each.endswith("Trying again.") for each in said)


def test_a_key_that_is_not_accepted_any_longer_ends_it(pulling: Callable[..., Receiver]) -> None:
    with pytest.raises(UnauthorizedError, match="register it with 'flwr supernode register'"):
        pulling(1, answers(401))
