import json
from pathlib import Path

import pytest

from fedstate.errors import EvidenceError
from fedstate.verify.evidence import read_runs


def test_a_run_without_a_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="Run 42 left no record"):
        read_runs(tmp_path, ["42"])


def test_an_empty_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="holds no record of any run"):
        read_runs(tmp_path)


@pytest.mark.parametrize("content", ["{", "", "{}", "[]", json.dumps({"schema": "other/1"})])
def test_a_damaged_record_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "1.json").write_text(content)
    with pytest.raises(EvidenceError, match=r"1\.json"):
        read_runs(tmp_path)


def test_a_record_without_its_parts_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(json.dumps({"schema": "fedstate.run/1", "run_id": "1"}))
    with pytest.raises(EvidenceError, match="damaged"):
        read_runs(tmp_path)


@pytest.mark.parametrize("run_id", [None, 1, "", "one", "-1"])
def test_a_record_of_no_run_is_an_error(tmp_path: Path, run_id: object) -> None:
    (tmp_path / "1.json").write_text(json.dumps({"schema": "fedstate.run/1", "run_id": run_id}))
    with pytest.raises(EvidenceError, match=f"damaged: its run_id is {run_id!r}"):
        read_runs(tmp_path)
