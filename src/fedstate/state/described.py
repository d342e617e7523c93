"""The guide's table of everything that can be stored, made of what codecs and kinds say.

``python -m fedstate.state.described docs/client-state.md`` writes it into the guide.
"""

import sys
from pathlib import Path

from fedstate.state.codecs.registry import codecs
from fedstate.state.codecs.tree import KINDS

BEGIN, END = "<!-- what can be stored: begin -->", "<!-- what can be stored: end -->"
_FLOWER = ("Flower's own `ArrayRecord`, `MetricRecord`, `ConfigRecord`", "the same")


def rows() -> list[tuple[str, str]]:
    """Return what can be stored and what it comes back as: the codecs first, then the kinds."""
    by_codecs = [row for c in codecs for row in c.described]
    by_kinds = [kind.row for kind in KINDS if kind.row is not None]
    return [*by_codecs, *by_kinds, _FLOWER]


def table() -> str:
    """Return the table as Markdown."""
    lines = [f"| {value} | {back} |" for value, back in rows()]
    return "\n".join(["| value | comes back as |", "|---|---|", *lines])


def with_table(page: str) -> str:
    """Return the text of a page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    guide = Path(sys.argv[1])
    guide.write_text(with_table(guide.read_text()))
