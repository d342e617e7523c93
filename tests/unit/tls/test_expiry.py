"""When a certificate is warned of, and in which words."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedstate.certificates.authority import (
    authority_certificate,
    ensure_authority,
    ensure_server_certificate,
    load_authority,
    pem,
)
from fedstate.tls.expiry import ExpiryWarning, expires_soon

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=31), None),
        (timedelta(days=30, seconds=1), None),
        (timedelta(days=30), "in 30 days: `fedstate certificates renew` makes another."),
        (timedelta(days=1, hours=23), "in 1 day: "),
        (timedelta(hours=23), "within a day: "),
        (
            timedelta(seconds=-1),
            "x expired on 2030-05-01, and is refused: `fedstate certificates",
        ),
    ],
)
def test_the_last_30_days_are_warned_of(left: timedelta, said: str | None) -> None:
    sentence = expires_soon("x", NOW + left, NOW)
    assert (sentence is None) == (said is None)
    assert (said or "") in (sentence or "")


class Days:
    """A calendar that is turned by hand, and the clock of a machine that runs meanwhile."""

    def __init__(self) -> None:
        self.now, self.seconds = datetime.now(UTC), 0.0

    def __call__(self) -> datetime:
        return self.now

    def clock(self) -> float:
        return self.seconds

    def pass_by(self, time: timedelta) -> None:
        self.now += time
        self.seconds += time.total_seconds()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    authority = ensure_authority(tmp_path / "authority", lifetime=timedelta(days=20))
    ensure_server_certificate(tmp_path, authority, ["here"], lifetime=timedelta(days=10))
    return tmp_path


def test_the_log_says_it_once_a_day_of_each(made: Path, caplog: pytest.LogCaptureFixture) -> None:
    days = Days()
    warning = ExpiryWarning(
        certificate=made / "server.crt", authority=made / "ca.crt", now=days, clock=days.clock
    )
    for _ in range(3):
        warning.look()
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"The certificate {made / 'server.crt'} expires on ")
    assert "in 9 days: `fedstate certificates renew` makes another" in first
    assert second.startswith(f"The authority {made / 'ca.crt'} expires on ")
    assert "in 19 days: `fedstate certificates renew --new-authority` makes another" in second
    days.pass_by(timedelta(hours=23))
    warning.look()
    assert len(caplog.records) == 2
    days.pass_by(timedelta(hours=2))
    warning.look()
    assert len(caplog.records) == 4
    days.pass_by(timedelta(days=10))
    warning.look()
    assert caplog.records[4].levelname == "ERROR"
    assert " expired on " in caplog.records[4].getMessage()


@pytest.mark.parametrize("jump", [timedelta(days=-5), timedelta(days=5)])
def test_a_clock_that_is_set_changes_nothing_of_how_often_it_is_said(
    made: Path, caplog: pytest.LogCaptureFixture, jump: timedelta
) -> None:
    days = Days()
    warning = ExpiryWarning(certificate=made / "server.crt", now=days, clock=days.clock)
    warning.look()
    days.now += jump
    warning.look()
    assert len(caplog.records) == 1
    days.pass_by(timedelta(days=1))
    warning.look()
    assert len(caplog.records) == 2


def test_of_several_authorities_the_one_counts_that_lasts(
    made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = load_authority(made / "authority")
    new = authority_certificate(authority.key, timedelta(days=100))
    (made / "ca.crt").write_bytes(pem(authority.certificate, new))
    ExpiryWarning(authority=made / "ca.crt").look()
    assert not caplog.records


@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_what_cannot_be_read_is_for_others_to_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    if content:
        (tmp_path / "file").write_bytes(content)
    ExpiryWarning(certificate=tmp_path / "file").look()
    assert not caplog.records
