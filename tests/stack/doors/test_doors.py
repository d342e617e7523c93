"""What somebody on the network tries is refused, while those are served whom the doors are for.

The attempts are in the modules beside this one. Each is made at every door that it concerns; what
it may cost is looked at for each: memory, and whether others are answered meanwhile.
"""

import pytest

from tests.stack.doors.conftest import Early
from tests.stack.doors.ground import MEMORY_BYTES, REFUSALS, Ground
from tests.stack.doors.memory import forget_peak, peak, resident
from tests.stack.doors.registry import ATTEMPTS, make

pytestmark = [pytest.mark.timeout(900), pytest.mark.allowed_errors(*REFUSALS)]


@pytest.mark.parametrize("name", [name for name, each in ATTEMPTS.items() if not each.early])
def test_an_attempt_is_refused(ground: Ground, early: Early, name: str) -> None:
    ground.renew_intruder()
    before = {process.name: resident(process) for process in ground.servers}
    for process in ground.servers:
        forget_peak(process)
    outcomes = [make(ATTEMPTS[name], ground, door) for door in ATTEMPTS[name].doors]
    grown = {process.name: peak(process) - before[process.name] for process in ground.servers}
    through = [what for outcome in outcomes for what in outcome.through]
    assert not through, f"{len(through)} tries got through: {through[:20]}"
    assert all(outcome.tries for outcome in outcomes), "there was nothing to try"
    assert not {server: size for server, size in grown.items() if size > MEMORY_BYTES}
    assert not ground.not_served()
