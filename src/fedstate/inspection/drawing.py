"""Histories as lines: in a terminal, of braille characters, and as a picture."""

import math
from collections.abc import Sequence
from pathlib import Path

from fedstate.inspection.errors import InspectionError
from fedstate.state.history import History

# The bits of a braille character's dots, by column and row.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BLANK = 0x2800
_COLUMNS, _ROWS = 2, 4


def points_of(history: History) -> tuple[list[float], list[float]]:
    """Return where the entries stand, by their rounds or else by their numbers, and their values.

    Entries that are not finite are left out.
    """
    rounds = history.rounds
    first = history.dropped + 1
    numbers = [
        float(first + place if number is None else number) for place, number in enumerate(rounds)
    ]
    if None in rounds:
        numbers = [float(first + place) for place in range(len(rounds))]
    kept = [(x, y) for x, y in zip(numbers, history.values.tolist(), strict=True)]
    kept = [(x, y) for x, y in kept if math.isfinite(y)]
    return [x for x, _ in kept], [y for _, y in kept]


def in_text(history: History, width: int = 72, height: int = 12) -> str:
    """Return a history as a plot of characters.

    Parameters
    ----------
    history : History
        The history.
    width, height : int
        How many columns and rows of characters the plot has, without its axes.
    """
    xs, ys = points_of(history)
    if not ys:
        return "There is no finite value to plot."
    low, high = min(ys), max(ys)
    labels = [f"{high:.6g}", f"{low:.6g}"]
    margin = max(map(len, labels))
    canvas = [[0] * width for _ in range(height)]
    across = _scaled(xs, width * _COLUMNS - 1)
    down = [height * _ROWS - 1 - place for place in _scaled(ys, height * _ROWS - 1)]
    for place, point in enumerate(zip(across, down, strict=True)):
        before = (across[place - 1], down[place - 1]) if place else point
        for x, y in _line(before, point):
            canvas[y // _ROWS][x // _COLUMNS] |= _DOTS[x % _COLUMNS][y % _ROWS]
    lines = []
    for row, cells in enumerate(canvas):
        label = labels[0] if row == 0 else labels[1] if row == height - 1 else ""
        drawn = "".join(chr(_BLANK + cell) if cell else " " for cell in cells).rstrip()
        lines.append(f"{label:>{margin}} ┤{drawn}")
    left, right = f"{min(xs):.6g}", f"{max(xs):.6g}"
    lines.append(f"{'':>{margin}} └{'─' * width}")
    lines.append(f"{'':>{margin}}  {left}{right:>{max(1, width - len(left))}}")
    return "\n".join(lines)


def in_picture(histories: Sequence[History], title: str, file: Path) -> None:
    """Draw histories into a PNG file, a line for each.

    Raises
    ------
    InspectionError
        matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise InspectionError(
            "A picture needs matplotlib; install it with: pip install 'fedstate[plot]'."
        ) from None
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for history in histories:
        axes.plot(*points_of(history), marker=".", label=history.name)
    has_rounds = all(None not in history.rounds for history in histories)
    axes.set(title=title, xlabel="round" if has_rounds else "entry")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120, format="png")
    plt.close(figure)


def _scaled(numbers: Sequence[float], size: int) -> list[int]:
    low, high = min(numbers), max(numbers)
    # Halved: the whole way between two large numbers may be infinite.
    whole = high / 2 - low / 2
    if not whole:
        return [size // 2] * len(numbers)
    return [round((number / 2 - low / 2) / whole * size) for number in numbers]


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the dots between two dots, both included."""
    (x, y), (to_x, to_y) = start, end
    steps = max(abs(to_x - x), abs(to_y - y), 1)
    return [
        (round(x + (to_x - x) * step / steps), round(y + (to_y - y) * step / steps))
        for step in range(steps + 1)
    ]
