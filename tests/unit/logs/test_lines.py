"""A line is one line, whatever is in it, and is read as it was written."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from fedstate.logs.labels import NAMES
from fedstate.logs.lines import LEVELS, Line, parse_line, visible

LINE = Line(
    1764180280.47,
    "INFO",
    "supernode",
    "Received: train message",
    {"run": "17268000838600430532", "node": "12", "round": "3", "message": "acf8c5510df3" * 5},
)
ANY = st.text(st.characters(exclude_categories=()))
LABELS = st.dictionaries(st.sampled_from(NAMES), ANY)


def test_text_for_people() -> None:
    assert LINE.to_text() == (
        "2025-11-26T18:04:40.470Z INFO     supernode "
        "[run 17268000838600430532 node 12 round 3 message acf8c5510df3]: Received: train message"
    )
    assert Line(0.0, "WARNING", "executor", "late").to_text() == (
        "1970-01-01T00:00:00.000Z WARNING  executor: late"
    )


def test_json_has_what_there_is_by_name() -> None:
    assert json.loads(LINE.to_json()) == {
        "time": "2025-11-26T18:04:40.470Z",
        "level": "INFO",
        "component": "supernode",
        **LINE.labels,
        "text": "Received: train message",
    }
    assert json.loads(Line(0.0, "INFO", "executor", "x").to_json()).keys() == {
        "time",
        "level",
        "component",
        "text",
    }


def test_colour_is_around_the_level_alone() -> None:
    coloured = LINE.to_text(colour=True)
    assert coloured == LINE.to_text().replace("INFO    ", "\x1b[92mINFO    \x1b[0m")


@given(ANY, LABELS)
def test_nothing_steers_a_terminal_or_makes_a_line(text: str, labels: dict[str, str]) -> None:
    for written in (
        Line(0.0, "INFO", "clientapp", text, labels).to_json(),
        *Line(0.0, "INFO", "clientapp", text, labels).to_text().split("\n"),
    ):
        assert (
            re.search("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", written) is None
        )
        assert len(written.splitlines()) == 1
        assert written.encode()
        assert parse_line(written) is not None


@given(ANY, LABELS, st.sampled_from(LEVELS))
def test_a_text_cannot_claim_to_be_of_another_run(
    text: str, labels: dict[str, str], level: str
) -> None:
    forged = Line(1.0, "ERROR", "superlink", "forged", {"run": "666"}).to_text()
    line = Line(2.0, level, "clientapp", f"{text}\n{forged}\r{forged}", {**labels, "run": "7"})
    for written in (line.to_json(), *line.to_text().split("\n")):
        read = parse_line(written)
        assert read is not None
        assert (read.labels["run"], read.component, read.level) == ("7", "clientapp", level)


def test_what_labels_claim_stays_in_their_place() -> None:
    labels = {"run": "7", "round": "1]: forged [run 8", "node": "\x1b[2J\n" * 100}
    read = parse_line(Line(0.0, "INFO", "clientapp", "said", labels).to_text())
    assert read is not None
    assert read.labels["run"] == "7"
    assert read.labels["round"] == "1_:_forged__run_8"
    assert len(read.labels["node"]) == 64
    assert read.text == "said"


def test_json_is_read_as_it_was_written() -> None:
    assert parse_line(LINE.to_json()) == LINE
    several = Line(0.5, "ERROR", "executor", "one\ntwo", {"run": "1"})
    assert parse_line(several.to_json()) == several


def test_what_is_no_line_is_none() -> None:
    for written in ("", "no line", "{", '{"time": 3}', "[" * 100_000, '{"time": "x"}', "{}"):
        assert parse_line(written) is None


def test_colours_go_and_tabs_stay() -> None:
    assert visible("\x1b[1m\x1b[38;5;9mred\x1b[0m\tgreen") == "red\tgreen"
    assert visible("\x1b[\x1b[0m0m") == r"\x1b[0m"
    assert visible("\x07\x9b2J\ud800") == r"\x07\x9b2J\ud800"
    assert visible("größer 東京 🌼") == "größer 東京 🌼"
