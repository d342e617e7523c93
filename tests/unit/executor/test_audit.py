import os
from collections.abc import Sequence

import pytest

from fedstate.executor.audit import listening


def test_events_are_heard_while_the_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[object] = []

    def hear(event: str, given: Sequence[object]) -> None:
        heard.append((event, *given))

    for value in ("1", "2"):
        with listening(frozenset({"os.putenv"}), hear):
            monkeypatch.setenv("HEARD", value)
        monkeypatch.setenv("HEARD", "not heard")
    assert heard == [("os.putenv", b"HEARD", b"1"), ("os.putenv", b"HEARD", b"2")]


def test_what_a_listener_raises_stops_what_it_hears_of() -> None:
    def refuse(_event: str, _given: object) -> None:
        raise ZeroDivisionError

    with listening(frozenset({"os.putenv"}), refuse), pytest.raises(ZeroDivisionError):
        os.environ["REFUSED"] = "1"
    assert "REFUSED" not in os.environ
