"""Which rules stand for "everything but"."""

from pathlib import Path

from fedstate.walls.landlock import abi, all_but


def test_nothing_closed_is_one_rule(tmp_path: Path) -> None:
    assert list(all_but(tmp_path, [])) == [tmp_path]


def test_the_way_to_what_is_closed_is_replaced_by_its_siblings(tmp_path: Path) -> None:
    for name in ("a/b/closed/x", "a/c", "d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/file").touch()
    (tmp_path / "a/link").symlink_to("b/closed")
    closed = [tmp_path / "a/b/closed", tmp_path / "not-there"]
    found = set(all_but(tmp_path, closed))
    assert found == {tmp_path / "a/c", tmp_path / "a/file", tmp_path / "d"}


def test_what_is_below_something_closed_is_closed(tmp_path: Path) -> None:
    assert not list(all_but(tmp_path / "a", [tmp_path]))
    assert not list(all_but(tmp_path, [tmp_path]))


def test_the_version_is_a_number() -> None:
    assert abi() >= 0
