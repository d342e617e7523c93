"""Every command of the README is one that the tests or CI run."""

import re

from tests.readme import ROOT, commands, sections

# Where the commands of each section are run.
RUN_BY = {
    "Two commands": ".ci/run",
    "In containers": "tests/stack/containers/test_readme.py",
    "Without Docker": "tests/stack/processes/test_local.py",
    "In simulation": "tests/simulation.py",
}


def test_every_section_with_commands_is_run_by_somebody() -> None:
    assert sections() == list(RUN_BY)


def test_ci_runs_the_two_commands() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    for command in commands("Two commands"):
        assert command in lines


def test_links_and_pictures_are_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
