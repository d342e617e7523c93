"""What the README tells people to type, so that the tests can type it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commands(section: str) -> list[str]:
    """Return the lines of all shell blocks below a heading of the README."""
    text = (ROOT / "README.md").read_text()
    (body,) = re.findall(rf"(?ms)^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text)
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", body)
    return [line for block in blocks for line in block.splitlines()]


def sections() -> list[str]:
    """Return every heading with a shell block below it."""
    headings = re.findall(r"(?m)^## (.+)$", (ROOT / "README.md").read_text())
    return [heading for heading in headings if commands(heading)]
