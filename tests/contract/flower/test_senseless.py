"""Messages that make no sense are refused as their sender's mistake, by flwr's own handlers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.proto.control_pb2 import ListRunsRequest, StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from starlette.testclient import TestClient
from tests.superlink_application import SuperLinkApplication


@pytest.fixture
def superlink(tmp_path: Path) -> Iterator[SuperLinkApplication]:
    superlink = SuperLinkApplication(tmp_path)
    yield superlink
    superlink.close()


def answer(superlink: SuperLinkApplication, call: str, message: bytes) -> tuple[int, str]:
    headers = {"content-type": PROTOBUF_MEDIA_TYPE}
    response = TestClient(superlink.app).post(
        f"/v1/control/{call}", content=message, headers=headers
    )
    return response.status_code, response.text


def test_a_message_without_sense_is_a_bad_request(superlink: SuperLinkApplication) -> None:
    request = StartRunRequest(fab=Fab(content=b"no archive"))
    status, text = answer(superlink, "start-run", request.SerializeToString())
    assert status == 400, text


def test_a_failure_of_the_server_stays_one(superlink: SuperLinkApplication) -> None:
    superlink.state.query("ALTER TABLE run RENAME TO lost")
    request = ListRunsRequest()
    status, _ = answer(superlink, "list-runs", request.SerializeToString())
    assert status == 500


def test_others_are_answered_as_before(superlink: SuperLinkApplication) -> None:
    status, _ = answer(superlink, "list-runs", ListRunsRequest().SerializeToString())
    assert status == 200
