"""A signal ends the executor, wherever it comes."""

import contextlib
import logging
import signal
import sys
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from fedstate.executor import main


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    numbers = (*main._SIGNALS, signal.SIGALRM)
    before = {each: signal.getsignal(each) for each in numbers}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


def frame_in(file: str) -> FrameType:
    """Return a frame of code that is in a file."""
    found: dict[str, Any] = {"getframe": sys._getframe}
    exec(compile("frame = getframe()", file, "exec"), found)  # noqa: S102
    frame = found["frame"]
    assert isinstance(frame, FrameType)
    return frame


def test_it_ends_what_is_done() -> None:
    with pytest.raises(main.Stopped):
        main._stop(signal.SIGTERM, frame_in("loop.py"))
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_it_comes_again_until_it_has_been_caught() -> None:
    """What a callback of ``fork`` raises is lost."""
    with contextlib.suppress(main.Stopped):
        main._stop(signal.SIGTERM, frame_in("loop.py"))
    with pytest.raises(main.Stopped):
        signal.pause()


def test_nothing_is_said_of_one_that_a_callback_has_lost(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Lock:
        pass

    monkeypatch.setattr(sys, "unraisablehook", main._forget_stopped)
    lock = Lock()
    reference = weakref.ref(lock, lambda _: main._stop(signal.SIGTERM, frame_in("bootstrap")))
    del lock
    with pytest.raises(main.Stopped):
        signal.pause()
    assert reference() is None
    assert capfd.readouterr().err == ""


def test_logging_is_not_interrupted_while_it_holds_its_lock() -> None:
    main._stop(signal.SIGTERM, frame_in(logging.__file__))
    with pytest.raises(main.Stopped):
        signal.pause()
