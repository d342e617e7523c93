"""Which runs are to be verified: by the first digits of their IDs, or by when they began."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fedstate.errors import EvidenceError, SettingError
from fedstate.verify.evidence import RunEvidence

SUPERLINK = "The SuperLink"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Selection:
    """Runs by name, or all of them since a time.

    Attributes
    ----------
    names : tuple of str
        IDs of runs, or the first digits of them; if there is none, all runs.
    since : float, optional
        A Unix time.
    whose : str
        Who has the runs, as the subject of a sentence.
    """

    names: tuple[str, ...] = ()
    since: float | None = None
    whose: str = SUPERLINK

    def among(self, runs: Sequence[RunEvidence]) -> list[int]:
        """Return the IDs of the runs that are meant, in the order in which they are named.

        Raises
        ------
        EvidenceError
            No run has such an ID, or several have.
        """
        if not self.names:
            return [
                run.run_id for run in runs if self.since is None or run.submitted_at >= self.since
            ]
        return list(dict.fromkeys(_named(name, runs, self.whose) for name in self.names))


def _named(name: str, runs: Sequence[RunEvidence], whose: str) -> int:
    if not name.isdecimal():
        raise EvidenceError(f"'{name}' is no ID of a run: it is a number, as in `flwr list`.")
    found = [run.run_id for run in runs if str(run.run_id).startswith(name)]
    if int(name) in found:
        return int(name)
    if not found:
        shown = "`flwr list` shows its runs" if whose == SUPERLINK else f"it has {_some(runs)}"
        raise EvidenceError(f"{whose} has no run whose ID begins with {name}; {shown}.")
    if len(found) > 1:
        some = ", ".join(map(str, found[:3]))
        raise EvidenceError(
            f"{len(found)} runs have IDs that begin with {name} ({some}, ...); give more digits."
        )
    return found[0]


def _some(runs: Sequence[RunEvidence]) -> str:
    ids = [str(run.run_id) for run in runs]
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "") or "none"


def parse_since(text: str, now: datetime.datetime | None = None) -> float:
    """Return the Unix time that a duration such as ``12h`` or a date stands for.

    Raises
    ------
    SettingError
        It is neither.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    if match := re.fullmatch(r"(\d+)([smhdw])", text.strip()):
        return now.timestamp() - int(match[1]) * _UNITS[match[2]]
    try:
        date = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise SettingError(
            f"--since is '{text}', which is neither a duration (90m, 12h, 7d, 2w) nor a date "
            "(2026-05-01, 2026-05-01T12:00)."
        ) from None
    # A date without a time zone is one of here.
    return date.astimezone().timestamp() if date.tzinfo is None else date.timestamp()
