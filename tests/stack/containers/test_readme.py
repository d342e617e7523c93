"""The README's own commands, in their order, on the running stack."""

import pytest

from tests.readme import commands
from tests.stack.containers.stack import Stack

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]


def test_the_commands_of_the_readme_work(stack: Stack) -> None:
    lines = commands("In containers")
    output = stack.shell("\n".join(["set -ex", *lines]))
    started_runs = [line for line in lines if "flwr run" in line]
    assert output.count("round 3/3") == len(started_runs) == 2
    assert "✓ agreement" in output
