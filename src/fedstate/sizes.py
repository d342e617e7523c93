"""Sizes as people read them; JSON and CSV have the exact numbers."""

_STEP = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")


def human_size(size: int | None) -> str:
    """Return a number of bytes with three digits, such as ``1.23 MB``."""
    if size is None:
        return ""
    number = float(size)
    for unit in _UNITS:
        # What would be rounded to 1000 belongs to the next unit.
        if abs(number) < _STEP - 0.5 or unit == _UNITS[-1]:
            return f"{size} B" if unit == "B" else f"{three_digits(number)} {unit}"
        number /= _STEP
    raise AssertionError("the last unit has no end")


def three_digits(number: float) -> str:
    """Return a number that is not negative with its first three digits, without a unit."""
    for decimals, bound in ((2, 9.995), (1, 99.95)):
        if abs(number) < bound:
            return f"{number:.{decimals}f}".rstrip("0").rstrip(".")
    return f"{number:.0f}"
