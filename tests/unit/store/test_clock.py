"""The clock that counts for the retention: of this boot, and of nobody else."""

from pathlib import Path

import pytest

from fedstate.store import clock


def test_it_goes_on_within_one_boot() -> None:
    first, second = clock.present(), clock.present()
    assert first.boot == second.boot
    assert 0 < first.seconds <= second.seconds


def test_where_boots_cannot_be_told_apart_time_counts_within_a_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "none")
    assert clock.present().boot.startswith("process-")
