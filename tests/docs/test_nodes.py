"""The list of allowed apps that docs/nodes.md shows is one that a SuperNode reads."""

import re
from pathlib import Path

from fedstate.flower.runs import Fab
from fedstate.supernode.allow import read_allowed
from fedstate.supernode.fab_names import AppName

PAGE = Path(__file__).parents[2] / "docs" / "nodes.md"


def test_the_example_is_read_as_the_page_says(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    file = tmp_path / "allow.toml"
    file.write_text(example)
    by_hash, by_publisher = read_allowed(file)
    assert by_hash.fab_hash is not None
    assert by_hash.fits(Fab("", b"test", {}), by_hash.fab_hash, None)
    assert by_publisher.app == "hospital/tumour"
    assert by_publisher.publishers is not None
    assert not by_publisher.trusts_names
    unsigned = Fab("", b"test", {})
    assert not by_publisher.fits(unsigned, "", AppName("hospital/tumour", "1.2.0"))
