"""What flwr and its HTTP client raise comes out as errors of ours, and nothing else does."""

import json

import httpx
import pytest
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, ObjectPushError
from flwr.supercore.run import RunNotRunningException

from fedstate.flower.errors import (
    MessageUnavailableError,
    RefusedError,
    ReplyIncompleteError,
    RunEndedError,
    RunStatus,
    SuperLinkError,
    UnauthorizedError,
    UnreachableError,
)
from fedstate.flower.refusals import (
    is_registered_already,
    own_errors,
    refusal,
    run_status_of,
)

REQUEST = httpx.Request("POST", "https://superlink/v1/fleet/x")


def refused(status: int, code: int | None = None) -> httpx.HTTPStatusError:
    """Return the error of an answer, with a body of flwr's if it has a code."""
    body = "<html>"
    if code is not None:
        body = json.dumps(FlowerError(code, "for the log").to_json("for a node"))
    response = httpx.Response(status, text=body, request=REQUEST)
    return httpx.HTTPStatusError(f"status {status}", request=REQUEST, response=response)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (RunNotRunningException(), RunEndedError),
        (refused(400), RefusedError),
        (refused(401), UnauthorizedError),
        (refused(503), RefusedError),
        (httpx.ReadTimeout(""), UnreachableError),
        (ObjectPullError("an ID", "gone"), MessageUnavailableError),
        (ObjectPushError("an ID", 1, "a session"), ReplyIncompleteError),
        (ValueError("no message"), UnreachableError),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "no text"), UnreachableError),
    ],
)
def test_each_of_theirs_is_one_of_ours(theirs: BaseException, ours: type[SuperLinkError]) -> None:
    with pytest.raises(SuperLinkError) as raised, own_errors():
        raise theirs
    assert type(raised.value) is ours
    assert str(raised.value).endswith((".", "gone"))


@pytest.mark.parametrize("error", [KeyError("a bug"), KeyboardInterrupt(), OSError("disk")])
def test_what_is_none_of_theirs_stays_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, own_errors():
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (httpx.ConnectError, False),
        (httpx.ConnectTimeout, False),
        (httpx.PoolTimeout, False),
        (httpx.ReadError, True),
        (httpx.ReadTimeout, True),
        (httpx.WriteError, True),
        (httpx.RemoteProtocolError, True),
    ],
)
def test_only_a_request_that_never_left_counts_as_not_sent(
    error: type[httpx.RequestError], sent: bool
) -> None:
    with pytest.raises(UnreachableError) as raised, own_errors():
        raise error("")
    assert raised.value.sent is sent
    assert error.__name__ in str(raised.value), "an error without words is named"


@pytest.mark.parametrize(("status", "passing"), [(400, False), (403, False), (500, True)])
def test_an_error_of_the_servers_is_passing(status: int, passing: bool) -> None:
    assert refusal(refused(status)).is_server_error is passing


def test_a_node_that_is_not_admitted_is_told_the_likely_reasons() -> None:
    for status in (401, 403):
        error = refusal(refused(status, ApiErrorCode.FLEET_NODE_ACTIVATION_FAILED))
        assert type(error) is RefusedError, "it may be admitted later"
        assert "its key is not registered there, or another" in str(error)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED, RunStatus.ENDED),
        (ApiErrorCode.FLEET_GET_RUN_FAILED, RunStatus.UNKNOWN),
        (ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE, None),
        (None, None),
    ],
)
def test_what_a_refusal_says_of_a_run(code: int | None, status: RunStatus | None) -> None:
    assert run_status_of(refused(403, code)) is status


@pytest.mark.parametrize(
    ("code", "registered"),
    [
        (ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE, True),
        (ApiErrorCode.FLEET_GET_RUN_FAILED, False),
        (None, False),
    ],
)
def test_a_key_that_is_registered_is_known_by_its_code(
    code: int | None, registered: bool
) -> None:
    assert is_registered_already(refused(409, code)) is registered
