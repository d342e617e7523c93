"""One line of the benchmark's table."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """Two figures that were measured in the same run, and how they compare.

    Attributes
    ----------
    name : str
        What was measured.
    ours : float
        fedstate's figure; less is better.
    peer : float
        What it is compared with: stock Flower, or a bound.
    goal : float or None
        What ``ours / peer`` should be at most; None where the figures are only shown.
    unit : str
        Of both figures.
    """

    name: str
    ours: float
    peer: float
    goal: float | None
    unit: str

    @property
    def ratio(self) -> float:
        """``ours / peer``."""
        return self.ours / self.peer

    @property
    def met(self) -> bool:
        """Whether the goal is met; a row without one always is."""
        return self.goal is None or self.ratio <= self.goal

    def to_json(self) -> dict[str, Any]:
        """Return the row as it stands in ``report.json``."""
        return {**asdict(self), "ratio": self.ratio}
