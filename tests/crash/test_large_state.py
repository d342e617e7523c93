"""A state that flower-supernode loses in silence: more than 150 MB."""

from .conftest import Killable


def test_a_large_state_is_committed_and_loaded_in_every_round(killable: Killable) -> None:
    killable.wait(killable.submit(ballast=200, rounds=2, resend=True))
