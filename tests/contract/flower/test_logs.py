"""flwr's lines in our form: with the run and node of a request, and no errors that are none."""

import argparse
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.proto.control_pb2 import ListRunsRequest, StopRunRequest
from flwr.proto.message_pb2 import Message, Metadata
from flwr.supercore.error import ApiErrorCode
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from starlette.testclient import TestClient
from tests.superlink_application import SuperLinkApplication

from fedstate.flower.log_levels import FlowerLevels
from fedstate.flower.log_options import add_log_options, configure_logs
from fedstate.flower.step_labels import step_labels
from fedstate.logs import release

Lines = list[dict[str, Any]]


@pytest.fixture
def superlink(tmp_path: Path) -> Iterator[SuperLinkApplication]:
    superlink = SuperLinkApplication(tmp_path)
    yield superlink
    superlink.close()


@pytest.fixture(autouse=True)
def _released() -> Iterator[None]:
    yield
    release()


def call(superlink: SuperLinkApplication, name: str, message: Any) -> int:
    parser = argparse.ArgumentParser()
    add_log_options(parser)
    configure_logs("superlink", parser.parse_args(["--log-format", "json"]))
    headers = {"content-type": PROTOBUF_MEDIA_TYPE}
    response = TestClient(superlink.app).post(
        f"/v1/control/{name}", content=message.SerializeToString(), headers=headers
    )
    return int(response.status_code)


def lines(captured: pytest.CaptureFixture[str]) -> Lines:
    return [json.loads(each) for each in captured.readouterr().err.splitlines()]


def test_a_callers_mistake_is_a_warning_with_the_run_that_it_is_about(
    superlink: SuperLinkApplication, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(superlink, "stop-run", StopRunRequest(run_id=7)) >= 400
    (line,) = [each for each in lines(capsys) if "ApiError" in each["text"]]
    assert (line["level"], line["run"], line["component"]) == ("WARNING", "7", "superlink")


def test_a_failure_of_the_server_is_an_error(
    superlink: SuperLinkApplication, capsys: pytest.CaptureFixture[str]
) -> None:
    superlink.state.query("ALTER TABLE run RENAME TO lost")
    assert call(superlink, "list-runs", ListRunsRequest()) == 500
    assert [each["level"] for each in lines(capsys) if "Error" in each["text"]] == ["ERROR"]


def test_calls_are_for_who_looks_for_an_error(
    superlink: SuperLinkApplication, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(superlink, "list-runs", ListRunsRequest()) == 200
    assert [each["text"] for each in lines(capsys) if "Control API" not in each["text"]] == []


def level(text: str, given: int = logging.ERROR) -> tuple[str, dict[str, str]]:
    record = logging.LogRecord("flwr", given, "", 0, text, (), None)
    FlowerLevels().filter(record)
    return record.levelname, getattr(record, "labels", {})


@pytest.mark.parametrize(
    ("path", "code", "expected"),
    [
        ("/v1/fleet/get-run", ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED, "INFO"),
        ("/v1/control/stop-run", ApiErrorCode.RUN_ALREADY_FINISHED, "INFO"),
        ("/v1/runtime/send-task-heartbeat", ApiErrorCode.RUNTIME_AUTHENTICATION_FAILED, "INFO"),
        ("/v1/runtime/acquire-task", ApiErrorCode.RUNTIME_AUTHENTICATION_FAILED, "WARNING"),
        ("/v1/control/stop-run", ApiErrorCode.RUN_ID_NOT_FOUND, "WARNING"),
        ("/v1/control/start-run", ApiErrorCode.LINKSTATE_NOT_INITIALIZED, "ERROR"),
        ("/v1/control/start-run", 99999, "ERROR"),
    ],
)
def test_each_refusal_has_the_level_of_what_it_means(path: str, code: int, expected: str) -> None:
    assert level(f"[{path}][ApiError:{int(code)}] details [ERROR]\n")[0] == expected


def test_no_refusal_of_flwrs_is_an_error_unless_the_server_failed() -> None:
    from flwr.supercore.error.catalog import API_ERROR_MAP

    for code, spec in API_ERROR_MAP.items():
        found = level(f"[/v1/fleet/x][ApiError:{int(code)}] reason")[0]
        assert (found == "ERROR") == (spec.http_status_code >= 500), code


def test_other_lines_keep_their_level() -> None:
    assert level("Failed to store Message reply")[0] == "ERROR"
    assert level("[/v1/fleet/get-run][UnexpectedError:KeyError] 7")[0] == "ERROR"
    assert level("Created run 12 in federation @none/default", logging.INFO) == (
        "INFO",
        {"run": "12"},
    )
    assert level("Started task 3 of run 12", logging.INFO)[1] == {"run": "12"}
    assert level("Created run 12 in federation x\nCreated run 13", logging.INFO)[1] == {}


def test_a_message_says_which_round_it_is_of() -> None:
    metadata = Metadata(run_id=1, message_id="ab", group_id="3", dst_node_id=5)
    content = Message(metadata=metadata).SerializeToString()
    assert step_labels(content) == {"node": "5", "round": "3", "message": "ab"}
    assert step_labels(Message().SerializeToString()) == {}
    assert step_labels(b"\xff" * 10) == {}
