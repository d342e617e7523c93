"""One line of a log: what it says, and how it is written and read, as text or as JSON.

Much of what is in a line was written by somebody else: an app prints what it likes, a ServerApp
names its rounds. A line shows characters that steer a terminal as what they are, has no other
line in it, and begins with a header that no text can make.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fedstate.logs.labels import NAMES

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_COLOURS = {
    "DEBUG": "\x1b[94m",
    "INFO": "\x1b[92m",
    "WARNING": "\x1b[93m",
    "ERROR": "\x1b[91m",
    "CRITICAL": "\x1b[95m",
}
_PLAIN = "\x1b[0m"
_LONGEST_LABEL = 64
# Text for people has the beginning of a message's ID, which is a SHA-256.
_MESSAGE_DIGITS = 12

_COLOUR_CODE = re.compile(r"\x1b\[[0-9;:]*m")
# Control characters but for the tabulator, what turns the direction of writing, line separators,
# and halves of characters.
_STEERING = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_NOT_IN_LABELS = re.compile(r"[\s\[\]]")
_HEADER = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) "
    rf"(?P<level>{'|'.join(LEVELS)}) +(?P<component>[\w-]+)(?: \[(?P<labels>[^\]]*)\])?: "
    r"(?P<text>.*)"
)


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes
    ----------
    time : float
        Unix time.
    level : str
        One of `LEVELS`.
    component : str
        ``superlink``, ``supernode``, ``executor``, ``clientapp``, ``serverapp``.
    text : str
        What it says; it may be several lines.
    labels : mapping of str to str
        What it is about, by `NAMES`.
    """

    time: float
    level: str
    component: str
    text: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as a JSON object without a line's end in it."""
        labels = {name: label(self.labels[name]) for name in NAMES if self.labels.get(name)}
        return json.dumps(
            {
                "time": timestamp(self.time),
                "level": self.level,
                "component": self.component,
                **labels,
                "text": self.text,
            }
        )

    def to_text(self, *, colour: bool = False) -> str:
        """Return it as text: each line of what it says has the header."""
        level = f"{self.level:<8}"
        if colour:
            level = f"{_COLOURS.get(self.level, '')}{level}{_PLAIN}"
        shown = {name: label(self.labels[name]) for name in NAMES if self.labels.get(name)}
        if "message" in shown:
            shown["message"] = shown["message"][:_MESSAGE_DIGITS]
        labels = " ".join(f"{name} {value}" for name, value in shown.items())
        header = f"{timestamp(self.time)} {level} {self.component}{labels and f' [{labels}]'}: "
        return "\n".join(f"{header}{visible(each)}" for each in self.text.split("\n"))

    def to_fields(self) -> dict[str, str]:
        """Return it as a row of a table."""
        labels = {name: self.labels.get(name, "") for name in NAMES}
        fixed = {"time": timestamp(self.time), "level": self.level, "component": self.component}
        return {**fixed, **labels, "text": visible(self.text)}


def parse_line(written: str) -> Line | None:
    """Return the line that `Line.to_json` or `Line.to_text` has written; None if it is none."""
    if written.startswith("{"):
        return _from_json(written)
    if (match := _HEADER.fullmatch(_COLOUR_CODE.sub("", written))) is None:
        return None
    words = (match["labels"] or "").split(" ")
    labels = dict(zip(words[::2], words[1::2], strict=False))
    return Line(seconds(match["time"]), match["level"], match["component"], match["text"], labels)


def _from_json(written: str) -> Line | None:
    try:
        given: Any = json.loads(written)
        labels = {name: str(given[name]) for name in NAMES if name in given}
        level, component, text = (str(given[name]) for name in ("level", "component", "text"))
        return Line(seconds(given["time"]), level, component, text, labels)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def visible(text: str) -> str:
    """Return a text in which nothing steers a terminal: colours are gone, the rest is shown."""
    return _STEERING.sub(_escaped, _COLOUR_CODE.sub("", text))


def label(value: str) -> str:
    """Return a label as a line can bear it: short, and without spaces and brackets."""
    return _NOT_IN_LABELS.sub("_", visible(value))[:_LONGEST_LABEL]


def timestamp(time: float) -> str:
    """Return a Unix time as UTC, to the millisecond."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def seconds(written: str) -> float:
    """Return the Unix time that `timestamp` has written; raises ValueError for anything else."""
    return datetime.fromisoformat(written).timestamp()


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
