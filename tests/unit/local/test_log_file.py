"""A log of a process is bounded while the process writes on."""

from pathlib import Path

from fedstate.local.log_file import bound_log


def test_a_log_is_bounded_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab", buffering=0) as file:
        for number in range(100):
            file.write(b"%3d %s\n" % (number, b"x" * 100))
            bound_log(log, most_bytes=1000)
    written = log.with_name("log.1").read_bytes() + log.read_bytes()
    assert {each.name for each in tmp_path.iterdir()} == {"log", "log.1"}
    assert len(written) < 2200
    numbers = [int(line.split()[0]) for line in written.splitlines()]
    assert numbers == list(range(numbers[0], 100))
    assert b"\0" not in written, "who appends begins again at the beginning"


def test_a_small_log_and_none_are_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert not bound_log(log)
    log.write_text("said\n")
    assert not bound_log(log)
    assert log.read_text() == "said\n"


def test_what_cannot_be_kept_is_dropped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 2000)
    (tmp_path / "log.1" / "in the way").mkdir(parents=True)
    assert bound_log(log, most_bytes=1000)
    assert log.stat().st_size == 0
    assert {each.name for each in tmp_path.iterdir()} == {"log", "log.1"}
