"""What is asked of whoever runs a federation is done once."""

from pathlib import Path

import pytest

from fedstate.local import orders


def test_each_order_is_taken_once(tmp_path: Path) -> None:
    first = orders.give(tmp_path, ["supernode-1", "executor-1"])
    orders.give(tmp_path, ["superlink"])
    assert first.stat().st_mode & 0o777 == 0o600
    assert sorted(orders.take(tmp_path)) == ["executor-1", "superlink", "supernode-1"]
    assert not first.exists()
    assert orders.take(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", '"supernode-1', "[1, null]", "7", "\x00"])
def test_what_is_no_order_is_removed_and_does_nothing(tmp_path: Path, content: str) -> None:
    file = orders.give(tmp_path, ["superlink"])
    file.write_text(content)
    assert orders.take(tmp_path) == []
    assert not file.exists()


def test_no_federation_has_no_orders(tmp_path: Path) -> None:
    assert orders.take(tmp_path / "nowhere") == []
