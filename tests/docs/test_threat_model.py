"""docs/threat-model.md names every attack of the hostile suites, and those that get through."""

import re
from pathlib import Path

from tests.hostile.app.hostile import forgeries, leftovers  # noqa: F401  register more of them
from tests.hostile.app.hostile.attacks import PROBES
from tests.hostile.app.hostile.bombs import BOMBS
from tests.hostile.checks import SHARED, UNSTOPPED
from tests.stack.doors import (  # noqa: F401  each registers its attempts
    bodies,
    connections,
    credentials,
    http,
    others,
    test_malformed,
    tls,
)
from tests.stack.doors.registry import ATTEMPTS

PAGE = (Path(__file__).parents[2] / "docs" / "threat-model.md").read_text()
TABLE, OPEN = PAGE.split("## What is enforced")[1].split("## What is not defended")
TABLE, NETWORK = TABLE.split("## What is tried from the network")
MALFORMED = test_malformed.test_malformed_protobuf.__name__.removeprefix("test_").replace(
    "_", "-"
)
ATTACKS = {*PROBES, *BOMBS}


def named(text: str) -> set[str]:
    return {name for name in re.findall(r"`([a-z-]+)`", text) if name in ATTACKS}


def _named_in(section: str) -> list[str]:
    """Return the names in the last column of a table."""
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [name for row in rows[1:] for name in re.findall(r"`([\w-]+)`", row.split("|")[3])]


def test_every_attack_is_in_the_table() -> None:
    assert sorted(_named_in(TABLE)) == sorted(ATTACKS)


def test_every_attempt_from_the_network_is_in_its_table() -> None:
    assert sorted(_named_in(NETWORK)) == sorted([*ATTEMPTS, MALFORMED])
    assert len(ATTEMPTS) >= 25


def test_what_gets_through_is_said() -> None:
    without_root = OPEN.split("**On plain processes without root**")
    open_here = {name for name, probe in PROBES.items() if "landlock" in probe.still_open}
    assert named(without_root[1]) == open_here | {*SHARED, "leave-files"}
    elsewhere = {name for name, probe in PROBES.items() if probe.still_open - {"landlock"}} | {
        name for mode, names in UNSTOPPED.items() for name in names
    }
    assert elsewhere <= named(without_root[0])
