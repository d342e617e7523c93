"""The audit log: complete lines, bounded files, nobody else's to read."""

import json
import logging
import stat
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from fedstate.accounts.audit import AuditLog, details_of, shortened
from fedstate.errors import SettingError
from fedstate.exchange.messages import EvidenceRequest


def test_a_line_is_there_when_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "audit.log"
    audit = AuditLog(file)
    audit.write({"account": "alice", "call": "stop-run\n{"})
    (line,) = file.read_text().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {"account": "alice", "call": "stop-run\n{"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    audit.close()


def test_files_are_bounded_and_the_newest_lines_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    audit = AuditLog(file, maximum_bytes=2000, kept=3)
    for number in range(200):
        audit.write({"number": number})
    audit.close()
    files = sorted(tmp_path.iterdir())
    assert [each.name for each in files] == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all(each.stat().st_size <= 2000 for each in files)
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in files)
    lines = "".join(each.read_text() for each in reversed(files)).splitlines()
    numbers = [json.loads(line)["number"] for line in lines]
    assert numbers == list(range(200 - len(numbers), 200))


def test_a_log_that_is_there_is_continued(tmp_path: Path) -> None:
    for number in range(2):
        audit = AuditLog(tmp_path / "audit.log")
        audit.write({"number": number})
        audit.close()
    assert len((tmp_path / "audit.log").read_text().splitlines()) == 2


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"audit log .* cannot be written \(Is a directory\)"):
        AuditLog(tmp_path)


def test_a_line_that_cannot_be_written_goes_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    audit = AuditLog(Path("/dev/full"))
    audit.write({"account": "alice"})
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert '"account":"alice"' in record.getMessage()


def test_without_a_file_lines_go_to_the_superlinks_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr.fedstate"):
        AuditLog().write({"account": "alice"})
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert '"account":"alice"' in record.getMessage()


def test_a_call_is_described_by_what_it_names() -> None:
    assert details_of(None) == {}
    assert details_of(AnyMessage()) == {}
    assert details_of(EvidenceRequest(run_ids=range(1, 40))) == {
        "runs": [str(each) for each in range(1, 21)]
    }


def test_what_somebody_sends_is_shortened() -> None:
    assert shortened("abc") == "abc"
    assert len(shortened("x" * 10_000)) == 201
