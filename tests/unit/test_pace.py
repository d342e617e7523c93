from fedstate.pace import Pace


def waits_at(clock: list[float], passed: float, subject: Pace) -> list[float]:
    clock[0] = passed
    return [subject.wait() for _ in range(50)]


def test_waits_grow_with_the_silence_and_stay_in_bounds() -> None:
    clock = [0.0]
    subject = Pace(quickest=0.05, slowest=1.0, clock=lambda: clock[0])
    for passed, expected in ((0.0, 0.05), (2.0, 0.3), (100.0, 1.0)):
        waits = waits_at(clock, passed, subject)
        assert 0.8 * expected <= min(waits) < max(waits) <= 1.2 * expected


def test_activity_makes_waits_short_again() -> None:
    clock = [0.0]
    subject = Pace(clock=lambda: clock[0])
    assert min(waits_at(clock, 100.0, subject)) > 0.5
    subject.activity()
    assert max(waits_at(clock, 100.0, subject)) < 0.1
