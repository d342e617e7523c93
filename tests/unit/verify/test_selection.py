"""Runs are named by the first digits of their IDs, or meant by when they began."""

import datetime

import pytest

from fedstate.errors import EvidenceError, SettingError
from fedstate.verify.evidence import RunEvidence
from fedstate.verify.selection import Selection, parse_since

RUNS = [RunEvidence(1234, submitted_at=300.0), RunEvidence(1299, submitted_at=200.0)]
RUNS += [RunEvidence(12, submitted_at=100.0)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), [1234, 1299, 12]),
        (("123",), [1234]),
        (("1299", "123"), [1299, 1234]),
        (("12",), [12]),
        (("123", "1234"), [1234]),
    ],
)
def test_names_mean_runs(names: tuple[str, ...], expected: list[int]) -> None:
    assert Selection(names).among(RUNS) == expected


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("x1", "'x1' is no ID of a run"),
        ("9", "no run whose ID begins with 9"),
        ("1", "3 runs have IDs that begin with 1 "),
    ],
)
def test_a_name_that_means_no_run_or_several_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(EvidenceError, match=sentence):
        Selection((name,)).among(RUNS)


def test_a_store_says_which_runs_it_has() -> None:
    selection = Selection(("9",), whose="The node's store")
    with pytest.raises(
        EvidenceError, match=r"The node's store has no run .* 9; it has 1234, 1299"
    ):
        selection.among(RUNS)
    many = [RunEvidence(number) for number in range(100, 107)]
    with pytest.raises(EvidenceError, match=r"it has 100, .*, 104 and 2 more\."):
        selection.among(many)
    with pytest.raises(EvidenceError, match="it has none"):
        selection.among([])


def test_runs_since_a_time() -> None:
    assert Selection(since=200.0).among(RUNS) == [1234, 1299]


NOW = datetime.datetime(2026, 5, 2, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("12h", 43_200), ("7d", 604_800), ("30s", 30)]
)
def test_a_duration_is_counted_back(text: str, seconds: int) -> None:
    assert parse_since(text, NOW) == NOW.timestamp() - seconds


def test_a_date_is_one_of_here_unless_it_says_where() -> None:
    here = datetime.datetime(2026, 5, 1).astimezone().timestamp()
    assert parse_since("2026-05-01", NOW) == here
    assert parse_since("2026-05-02T12:00+00:00", NOW) == NOW.timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "5", "7 days", "-3d"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="neither a duration"):
        parse_since(text, NOW)
