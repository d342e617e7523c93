"""One handler for our lines, Flower's and the server's; afterwards all is as before."""

import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from fedstate.errors import SettingError
from fedstate.logs import (
    JSON,
    TEXT,
    chosen_format,
    configure,
    cover_everything,
    labelled,
    log_format,
    logger,
    of_node,
    release,
)
from fedstate.logs.setup import VARIABLE


@pytest.fixture(autouse=True)
def _released() -> Iterator[None]:
    """Leave nothing configured, and find uvicorn's loggers as a new program does."""
    named = [logging.getLogger(f"uvicorn{name}") for name in ("", ".error", ".access")]
    before = [(each.handlers[:], each.level, each.propagate) for each in named]
    for each in named:
        each.handlers[:], each.propagate = [], True
        each.setLevel(logging.NOTSET)
    yield
    release()
    for each, (handlers, level, propagates) in zip(named, before, strict=True):
        each.handlers[:], each.propagate = handlers, propagates
        each.setLevel(level)


@pytest.fixture
def theirs() -> Iterator[logging.Handler]:
    """Flower's handler, which it makes when it is imported."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.INFO)
    flower, level = logging.getLogger("flwr"), logging.getLogger("flwr").level
    before = flower.handlers[:]
    flower.handlers[:] = [handler]
    flower.setLevel(logging.DEBUG)
    yield handler
    release()
    assert flower.handlers == [handler]
    flower.handlers[:] = before
    flower.setLevel(level)


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(each) for each in captured.readouterr().err.splitlines()]


def test_flowers_lines_and_ours_have_one_form(
    theirs: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("superlink", JSON)
    of_node(12)
    with labelled(run=7, round=3):
        logger.warning("ours, %d", 1)
    logging.getLogger("flwr").info("theirs")
    logging.getLogger("flwr").debug("nobody wants to know")
    first, second = lines(capsys)
    assert (first["component"], first["level"], first["text"]) == (
        "superlink",
        "WARNING",
        "ours, 1",
    )
    assert (first["run"], first["node"], first["round"]) == ("7", "12", "3")
    assert (second["level"], second["text"], second["node"]) == ("INFO", "theirs", "12")
    assert theirs not in logging.getLogger("flwr").handlers


@pytest.mark.usefixtures("theirs")
def test_everything_is_covered_and_each_line_comes_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("supernode", JSON)
    configure("supernode", JSON)
    cover_everything()
    logger.info("ours")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("sqlalchemy").warning("of a library")
    logging.getLogger("sqlalchemy").info("of a library")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("of Python", stacklevel=1)
    sys.excepthook(ValueError, ValueError("lost"), None)
    thread = threading.Thread(target=lambda: 1 / 0, name="worker")
    thread.start()
    thread.join()
    said = [(each["level"], each["text"].splitlines()) for each in lines(capsys)]
    assert [(level, text[0].split(":")[0][:30]) for level, text in said[:3]] == [
        ("INFO", "ours"),
        ("INFO", "started"),
        ("WARNING", "of a library"),
    ]
    assert said[3][0] == "WARNING"
    assert "of Python" in said[3][1][0]
    assert (said[4][0], said[4][1][-1]) == ("CRITICAL", "ValueError: lost")
    assert "'worker'" in said[5][1][0]
    assert said[5][1][-1].startswith("ZeroDivisionError")
    assert len(said) == 6


@pytest.mark.usefixtures("theirs")
def test_access_lines_are_for_who_looks_for_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    access = logging.getLogger("uvicorn.access")
    configure("superlink", TEXT)
    access.info("GET /health")
    configure("superlink", TEXT, level=logging.DEBUG)
    access.info("GET /health")
    (line,) = capsys.readouterr().err.splitlines()
    assert " DEBUG    superlink: GET /health" in line


@pytest.mark.usefixtures("theirs")
def test_a_traceback_is_lines_with_headers_in_text_and_one_object_in_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for form in (TEXT, JSON):
        configure("executor", form)
        try:
            raise ValueError("bad\nvalue")
        except ValueError:
            logger.exception("It failed.")
    *text, written = capsys.readouterr().err.splitlines()
    assert all(" ERROR    executor: " in each for each in text)
    assert text[-1].endswith("executor: value")
    assert json.loads(written)["text"].splitlines()[-1] == "value"


def test_without_it_nothing_is_released() -> None:
    before = logging.getLogger("flwr").handlers[:], sys.excepthook, logging.root.handlers[:]
    release()
    cover_everything()
    assert before == (
        logging.getLogger("flwr").handlers,
        sys.excepthook,
        logging.root.handlers,
    )
    assert log_format() == TEXT


def test_the_option_comes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert chosen_format(None) == TEXT
    assert chosen_format("json") == JSON
    monkeypatch.setenv(VARIABLE, "json")
    assert (chosen_format(None), chosen_format("text")) == (JSON, TEXT)
    monkeypatch.setenv(VARIABLE, "")
    assert chosen_format(None) == TEXT
    monkeypatch.setenv(VARIABLE, "xml")
    with pytest.raises(SettingError, match="FEDSTATE_LOG_FORMAT is 'xml': give 'text' or 'json'"):
        chosen_format(None)
    with pytest.raises(SettingError, match="--log-format is 'csv'"):
        chosen_format("csv")
