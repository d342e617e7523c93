"""What a check has found: where, of which kind, who contradicts whom, and how bad it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

# The parties.
SUPERLINK = "the SuperLink's account"
RECEIPTS = "the receipts at the SuperLink"
LOG = "the node's log"
STORE = "the node's store"
RECORD = "the ServerApp's record"

CHECKS = ("persistence", "isolation", "completeness", "agreement")


class Level(IntEnum):
    """What a finding means for the verdict."""

    TOLD = 0  # worth knowing, and no promise is broken
    UNKNOWN = 1  # something is missing that a verdict would need
    BROKEN = 2  # a promise is broken


@dataclass(frozen=True)
class Place:
    """Where something was found: a run, unless it is about a node alone, and a node, if one."""

    run_id: int
    node_id: int | None = None

    def __str__(self) -> str:
        """Return the place as a finding names it."""
        node = "" if self.node_id is None else f"node {self.node_id}"
        run = f"run {self.run_id}" if self.run_id else ""
        return ", ".join(filter(None, (run, node)))


@dataclass(frozen=True)
class Finding:
    """One thing that a check has found.

    Attributes
    ----------
    check : str
        One of `CHECKS`.
    kind : str
        What it is, in a word or two that do not change between releases.
    level : Level
        What it means.
    place : Place
        Where.
    text : str
        What was found, as the rest of a sentence that begins with the place.
    step : int
        The number of the step among the node's steps of this run; 0 if it is about no step.
    parties : tuple of str
        Who contradicts whom; empty if it is no contradiction.
    """

    check: str
    kind: str
    level: Level
    place: Place
    text: str
    step: int = 0
    parties: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the finding as one sentence."""
        step = f", step {self.step}" if self.step else ""
        parties = f" ({' against '.join(self.parties)})" if self.parties else ""
        return f"{self.place}{step}: {printable(self.text)}{parties}."


def printable(text: str) -> str:
    """Return text in which nothing moves a terminal's cursor, or begins another line.

    Reasons, names and IDs are chosen by apps, and with their own verdict in them they could
    overwrite ours.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def worst(findings: Iterable[Finding]) -> Level:
    """Return the highest level among findings."""
    return max((finding.level for finding in findings), default=Level.TOLD)


def short(digest: bytes) -> str:
    """Return a digest as findings show it."""
    return digest.hex()[:12] or "none"


def numbers(steps: Iterable[int]) -> str:
    """Return step numbers as text: ``3``, ``3 to 7``, or ``3, 5 and 9``."""
    ordered = sorted(steps)
    first, last = ordered[0], ordered[-1]
    if len(ordered) == 1:
        return str(first)
    if last - first + 1 == len(ordered):
        return f"{first} to {last}"
    shown = ordered[:8]
    more = f" and {len(ordered) - 8} more" if len(ordered) > 8 else f" and {shown.pop()}"
    return ", ".join(map(str, shown)) + more
