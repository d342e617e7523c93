"""The README's own commands on the running stack."""

import pytest

from tests.stack.containers.conftest import Runs

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]


def test_the_commands_of_the_readme_work(runs: Runs) -> None:
    assert runs.said.count("round 3/3") == len(runs.keras) == 2
    assert "✓ agreement" in runs.verified
