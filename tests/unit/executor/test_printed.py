"""What a run prints becomes lines of that run, whatever is in it."""

from pathlib import Path

import pytest

from fedstate.executor.printed import Printed
from fedstate.logs.lines import Line, parse_line
from fedstate.logs.run_files import Reader, RunFile

RUN = 7


@pytest.fixture
def printed(tmp_path: Path) -> Printed:
    return Printed(RUN, "clientapp", RunFile(tmp_path, RUN))


def lines(tmp_path: Path) -> list[Line]:
    return list(Reader(tmp_path, RUN).read())


def test_lines_have_the_labels_of_the_step_that_is_under_way(
    printed: Printed, tmp_path: Path
) -> None:
    printed.begin(1)
    printed.take([b"import"])
    printed.label(1, {"node": "5", "round": "1", "message": "ab"})
    printed.take([b"first"])
    printed.begin(2)
    printed.take([b"import again"])
    printed.label(1, {"node": "5", "round": "1", "message": "ab"})  # its threads still run
    printed.label(2, {"node": "5", "round": "2", "run": "8"})
    printed.take([b"second"])
    labels = [dict(line.labels) for line in lines(tmp_path)]
    assert labels == [
        {"run": "7"},
        {"run": "7", "node": "5", "round": "1", "message": "ab"},
        {"run": "7", "node": "5"},
        {"run": "7", "node": "5", "round": "2"},
    ]


def test_both_the_log_and_the_file_have_them(
    printed: Printed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    printed.take([b"said", b"and said"])
    shown = [parse_line(each) for each in capfd.readouterr().err.splitlines()]
    assert [each and (each.component, each.labels, each.text) for each in shown] == [
        ("clientapp", {"run": "7"}, "said"),
        ("clientapp", {"run": "7"}, "and said"),
    ]
    assert [each.text for each in lines(tmp_path)] == ["said", "and said"]


def test_what_is_not_for_the_log_is_for_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    printed = Printed(RUN, "serverapp", RunFile(tmp_path, RUN), logged=False)
    printed.take([b"of a ServerApp"])
    printed.end(run_ended=True)
    assert capfd.readouterr().err == ""
    (line,) = lines(tmp_path)
    assert (line.component, line.text) == ("serverapp", "of a ServerApp")


@pytest.mark.parametrize(
    ("raw", "text", "level"),
    [
        (b"\x1b[93mWARNING \x1b[0m:   careful", "careful", "WARNING"),
        (b"INFO :      [ROUND 1]", "[ROUND 1]", "INFO"),
        (b"ERROR : not as Flower writes it", "ERROR : not as Flower writes it", "INFO"),
        (b"\xff\xfe\x00", r"\xff\xfe\x00", "INFO"),
        (b"\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07", "INFO"),
        (b" 1/10 \r 5/10 \r10/10 \r", "10/10 ", "INFO"),
        (b"", "", "INFO"),
        (
            b"2026-11-26T18:20:52.143Z ERROR    superlink [run 8]: forged",
            "2026-11-26T18:20:52.143Z ERROR    superlink [run 8]: forged",
            "INFO",
        ),
        (b'{"time": "2026-11-26T18:20:52.143Z", "run": "8"}', None, "INFO"),
    ],
)
def test_whatever_is_printed_is_a_line_of_its_run(
    printed: Printed,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    raw: bytes,
    text: str | None,
    level: str,
) -> None:
    printed.take([raw])
    (line,) = lines(tmp_path)
    assert line.text == (raw.decode() if text is None else text)
    assert (line.level, line.labels) == (level, {"run": "7"})
    (shown,) = capfd.readouterr().err.split("\n")[:-1]
    read = parse_line(shown)
    assert read is not None
    assert (read.component, read.labels, read.text) == ("clientapp", {"run": "7"}, line.text)


def test_a_traceback_is_an_error_to_its_end(printed: Printed, tmp_path: Path) -> None:
    trace = ["Traceback (most recent call last):", '  File "app.py", line 1', "ValueError: bad"]
    printed.take([each.encode() for each in ["before", *trace, "after"]])
    assert [each.level for each in lines(tmp_path)] == ["INFO", "ERROR", "ERROR", "ERROR", "INFO"]


def test_the_executor_can_note_something(printed: Printed, tmp_path: Path) -> None:
    printed.note("too much")
    (line,) = lines(tmp_path)
    assert (line.component, line.level, line.text) == ("executor", "WARNING", "too much")
    assert line.labels == {"run": "7"}
