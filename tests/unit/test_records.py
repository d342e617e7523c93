"""Where the records of runs are, for whoever writes them and whoever reads them."""

from pathlib import Path

import pytest

from fedstate.records import old_record_file, record_file, runs_directory


@pytest.mark.parametrize(
    ("variables", "directory"),
    [
        ({"FEDSTATE_RUNS": "/records", "FLWR_HOME": "/home/flwr"}, "/records"),
        ({"FEDSTATE_RUNS": "", "FLWR_HOME": "/home/flwr"}, "/home/flwr/fedstate/runs"),
        ({"HOME": "/somebody"}, "/somebody/.flwr/fedstate/runs"),
    ],
)
def test_the_environment_says_where(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], directory: str
) -> None:
    for name in ("FEDSTATE_RUNS", "FLWR_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert runs_directory() == Path(directory)


def test_each_run_has_a_directory_of_its_own() -> None:
    assert record_file(Path("runs"), 7) == Path("runs/7/record.jsonl")
    assert old_record_file(Path("runs"), 7) == Path("runs/7.json")
