"""Times and sizes as people write them: 90s, 12h, 30d; 500M, 20G."""

import re

from fedstate.errors import SettingError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def seconds_of(text: str, option: str = "") -> float:
    """Return the seconds that a time such as ``12h`` has; raise SettingError.

    Parameters
    ----------
    text : str
        The time.
    option : str
        What it was given with, such as ``--older-than``: the error names it.
    """
    try:
        return _with_unit(text, _SECONDS, "a time such as 90s, 12h or 30d")
    except SettingError as error:
        raise SettingError(f"{option}: {error}." if option else str(error)) from None


def bytes_of(text: str) -> int:
    """Return the bytes that a size such as ``500M`` has; raise SettingError."""
    return int(_with_unit(text, _BYTES, "a size such as 500M or 20G"))


def _with_unit(text: str, units: dict[str, int], what: str) -> float:
    match = re.fullmatch(rf"(\d+(?:\.\d+)?)([{''.join(units)}])", text)
    if match is None:
        raise SettingError(f"'{text}' is not {what}")
    return float(match[1]) * units[match[2]]
