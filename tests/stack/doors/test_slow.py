"""Whoever takes his time has been shown out when the other attempts are over."""

import pytest

from tests.stack.doors.conftest import Early
from tests.stack.doors.ground import REFUSALS, Ground
from tests.stack.doors.registry import ATTEMPTS

pytestmark = [pytest.mark.timeout(900), pytest.mark.allowed_errors(*REFUSALS)]


@pytest.mark.parametrize("name", [name for name, each in ATTEMPTS.items() if each.early])
def test_a_slow_attempt_is_refused(ground: Ground, early: Early, name: str) -> None:
    outcomes = [future.result() for future in early[name]]
    through = [what for outcome in outcomes for what in outcome.through]
    assert not through, f"{len(through)} tries got through: {through[:20]}"
    assert all(outcome.tries for outcome in outcomes), "there was nothing to try"
    # What made no sense may have said that the intruder's task has ended.
    ground.renew_intruder()
    assert not ground.not_served()
