"""How soon a process is started again."""

from fedstate.local.patience import MOST, WINDOW_SECONDS, Patience


def test_one_that_ends_again_and_again_is_given_more_time_and_then_left() -> None:
    patience = Patience()
    assert [patience.after(float(now)) for now in range(MOST)] == [0.0, 1.0, 2.0, 4.0, None]


def test_what_is_long_ago_does_not_count() -> None:
    patience = Patience()
    for now in (0.0, 1.0, 2.0, 3.0):
        assert patience.after(now) is not None
    assert patience.after(3.0 + WINDOW_SECONDS) == 0.0


def test_somebody_who_looks_after_it_begins_anew() -> None:
    patience = Patience()
    for now in range(MOST):
        patience.after(float(now))
    patience.forget()
    assert patience.after(float(MOST)) == 0.0
