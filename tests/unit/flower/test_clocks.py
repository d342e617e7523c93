"""A node whose clock is wrong is told so, waits until it is right, and loses nothing."""

import datetime
from collections.abc import Callable
from email.utils import formatdate

import httpx
import pytest
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import SUPEREXEC_AUTH_TIMESTAMP_HEADER
from flwr.supercore.date import now
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import Handle, SuperLink, arrays, reply_to

from fedstate.flower.clients import FleetApi
from fedstate.flower.clocks import Clocks, differ, seconds_ahead
from fedstate.flower.errors import ClocksDifferError, UnauthorizedError

DAY = 86400.0
SERVER = 1_900_000_000.0


def answer(ahead: float = 0.0, status: int = 401, **headers: str) -> httpx.Response:
    """Return the answer to a request that was signed at another time than the server's."""
    signed = datetime.datetime.fromtimestamp(SERVER + ahead, datetime.UTC).isoformat()
    request = httpx.Request("POST", "http://superlink/x", headers={TIMESTAMP_HEADER: signed})
    dated = {"date": formatdate(SERVER, usegmt=True)} | headers
    return httpx.Response(status, headers=dated, request=request)


@pytest.mark.parametrize("ahead", [8 * DAY, 6.0, 5.0, -304.5, -306.0, -8 * DAY])
def test_a_request_that_is_signed_at_another_time_tells_by_how_much(ahead: float) -> None:
    assert seconds_ahead(answer(ahead)) == ahead
    assert seconds_ahead(answer(ahead, status=200)) is None
    assert seconds_ahead(answer(ahead, date="yesterday")) is None


@pytest.mark.parametrize("ahead", [0.0, 4.9, -303.0])
def test_a_clock_that_is_taken_is_no_reason(ahead: float) -> None:
    assert seconds_ahead(answer(ahead)) is None


@pytest.mark.parametrize("signed", [{}, {TIMESTAMP_HEADER: "x"}])
def test_what_tells_nothing_is_no_reason(signed: dict[str, str]) -> None:
    request = httpx.Request("POST", "http://superlink/x", headers=signed)
    dated = {"date": formatdate(SERVER, usegmt=True)}
    assert seconds_ahead(httpx.Response(401, headers=dated, request=request)) is None
    assert seconds_ahead(httpx.Response(401, request=request)) is None


def test_an_executor_signs_whole_seconds() -> None:
    headers = {SUPEREXEC_AUTH_TIMESTAMP_HEADER: str(int(SERVER - DAY))}
    request = httpx.Request("POST", "http://supernode/x", headers=headers)
    dated = {"date": formatdate(SERVER, usegmt=True)}
    assert seconds_ahead(httpx.Response(401, headers=dated, request=request)) == -DAY


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (8 * DAY - 1, "clock is 8 days ahead of that of the SuperLink, which refuses"),
        (-1.5 * DAY, "clock is 36 hours behind that of the SuperLink"),
        (-310.0, "clock is 5 minutes behind"),
        (5.5, "clock is 6 seconds ahead"),
    ],
)
def test_the_sentence_says_by_how_much_and_which_is_ahead(ahead: float, said: str) -> None:
    assert said in differ(ahead, "the SuperLink")


def test_the_log_has_it_once_and_again_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clocks = Clocks("the SuperLink")
    for sent_at, ahead in enumerate((DAY, DAY + 2, DAY - 2, 3 * DAY, 3 * DAY)):
        clocks.look(answer(ahead), sent_at)
    clocks.look(answer(status=500), 10.0)
    clocks.look(answer(status=200), 3.0)  # it was taken before the clock was set
    assert len(caplog.records) == 2
    for later in (11.0, 12.0):
        clocks.look(answer(status=200), later)
    first, second, third = (each.getMessage() for each in caplog.records)
    assert "24 hours ahead" in first
    assert "3 days ahead" in second
    assert third == "The clocks of this machine and of the SuperLink agree again."


class Skewed:
    """A node whose machine's clock is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = datetime.timedelta()
        monkeypatch.setattr(
            "flwr.supernode.node_auth_http_interceptor.now", lambda: now() + self.ahead
        )

    def right_after(self, handle: Handle) -> httpx.Response:
        """Answer a request, and set the clock right then."""
        response = handle()
        self.ahead = datetime.timedelta()
        return response


@pytest.fixture
def skewed(monkeypatch: pytest.MonkeyPatch) -> Skewed:
    return Skewed(monkeypatch)


@pytest.mark.parametrize("days", [8, -8])
def test_a_wrong_clock_is_no_wrong_key(
    any_superlink: SuperLink, skewed: Skewed, caplog: pytest.LogCaptureFixture, days: int
) -> None:
    keys = key_pair()
    calls: list[Callable[[FleetApi], object]] = [
        lambda api: api.register(),
        lambda api: api.activate(),
        lambda api: api.heartbeat(),
        lambda api: api.pull_message(),
    ]
    with any_superlink.api(any_superlink.connection(), keys) as api:
        for call in calls:
            skewed.ahead = datetime.timedelta(days=days)
            with pytest.raises(ClocksDifferError, match="clock is 8 days") as raised:
                call(api)
            assert not raised.value.sent
            skewed.ahead = datetime.timedelta()
            call(api)
    said = [each.getMessage() for each in caplog.records if "8 days" in each.getMessage()]
    assert len(said) == len(calls), "once each time that it was set"


def test_a_key_that_is_wrong_stays_final_beside_a_clock_that_was(
    any_superlink: SuperLink, skewed: Skewed
) -> None:
    with any_superlink.node() as (api, _):
        any_superlink.unregister(api.node_id)
        skewed.ahead = datetime.timedelta(days=8)
        with pytest.raises(ClocksDifferError):
            api.heartbeat()
        skewed.ahead = datetime.timedelta()
        with pytest.raises(UnauthorizedError, match="does not accept this node's key"):
            api.heartbeat()


@pytest.mark.parametrize("call", ["pull", "reply", "run"])
def test_what_a_step_needs_waits_until_the_clock_is_right(
    any_superlink: SuperLink, skewed: Skewed, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    with any_superlink.node() as (api, connection):
        run_id = any_superlink.start_run()
        message_id = any_superlink.send(run_id, api.node_id, arrays(10))
        envelope = api.pull_message()
        assert envelope is not None
        content = arrays(20)
        reply, objects = reply_to(envelope, content)
        skewed.ahead = datetime.timedelta(days=8)
        connection.plan("*", lambda handle: handle(), skewed.right_after)
        if call == "pull":
            assert set(api.pull_objects(run_id, envelope.object_ids)) == set(envelope.object_ids)
        elif call == "run":
            assert api.run(run_id).run_id == run_id
        elif not api.push_reply(reply, objects, 1.0, None, confirm=False):
            session = api.announce_reply(reply, 1.0)
            api.push_objects(run_id, session.session_id, objects)
        assert not connection.planned("*"), "it was refused, and tried again"
        if call == "reply":
            taken = any_superlink.take_reply(run_id, message_id)
            assert taken is not None
            assert any_superlink.content_of(run_id, taken) == content
    assert "retrying" not in caplog.text
    assert caplog.text.count("8 days ahead") == 1


def test_a_date_from_before_the_server_s_clock_was_set_is_not_trusted(
    any_superlink: SuperLink, skewed: Skewed
) -> None:
    def stale(handle: Handle) -> httpx.Response:
        response = handle()
        response.headers["date"] = formatdate((now() + skewed.ahead).timestamp(), usegmt=True)
        return response

    with any_superlink.node() as (api, connection):
        skewed.ahead = datetime.timedelta(days=8)
        connection.plan("*", stale)
        with pytest.raises(ClocksDifferError):
            api.heartbeat()
