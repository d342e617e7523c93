"""docs/upgrading-flwr.md names every non-public name of flwr that we use, and each has a test."""

import re
from pathlib import Path

import pytest
from tests.contract.flower.private_names import (
    ROOT,
    Seam,
    imported,
    inherited,
    rows,
    seams,
    sources,
)


def test_the_page_names_what_we_import() -> None:
    used = {name for file in sources() for name in imported(file)}
    named = {name for seam in seams() for name in seam.names}
    missing = sorted(used - named)
    assert not missing, "imported, and missing in the page's table"
    stale = sorted(named - used)
    assert not stale, "in the page's table, and imported nowhere"


def test_no_name_has_two_rows() -> None:
    named = [name for seam in seams() for name in seam.names]
    assert sorted(named) == sorted(set(named))


def test_the_page_names_what_our_classes_override_and_use() -> None:
    named = {
        cls.strip("`"): (set(re.findall(r"`(\w+)`", over)), set(re.findall(r"`(\w+)`", uses)))
        for cls, _, over, uses in rows("What our classes take from flwr's")
    }
    assert named == inherited()


@pytest.mark.parametrize("seam", seams(), ids=lambda seam: seam.title)
def test_the_tests_of_a_seam_are_there(seam: Seam) -> None:
    assert seam.tests, "nothing pushes anything through it"
    for test in seam.tests:
        file, _, function = test.partition("::")
        found = ROOT / "tests" / "contract" / "flower" / file
        if "/" in file:
            found = ROOT / file
        assert found.is_file(), test
        assert f"def {function}" in found.read_text(), test


def test_a_name_in_another_form_is_found_too(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text(
        "import flwr\n"
        "import flwr.supercore.date\n"
        "from flwr import supernode, app\n"
        "from flwr.supercore import fab, run as theirs\n"
        "from flwr.app import Context\n"
        "import_module('flwr.superlink.runtime.run_serverapp')\n"
        "def f():\n    from flwr.common.serde import x\n"
    )
    assert imported(source) == {
        ("flwr.supercore.date", ""),
        ("flwr.supernode", ""),
        ("flwr.supercore", "fab"),
        ("flwr.supercore", "run"),
        ("flwr.superlink.runtime.run_serverapp", ""),
        ("flwr.common.serde", "x"),
    }
