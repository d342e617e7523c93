"""Python's other plain values: complex and exact numbers, dates and times, paths, and so on."""

import base64
import datetime
import pathlib
import random
import uuid
import zoneinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fedstate.state.errors import StateDamagedError, StateTypeError
from fedstate.state.kinds.base import Branch, Kind, Reader, as_plain, only

_PATHS: dict[str, type[pathlib.PurePath]] = {
    kind.__name__: kind
    for kind in (
        pathlib.PurePosixPath,
        pathlib.PureWindowsPath,
        pathlib.PosixPath,
        pathlib.WindowsPath,
    )
}


def _complex(parts: Any) -> complex:
    real, imaginary = parts
    return complex(only(real, float), only(imaginary, float))


def _date_parts(value: datetime.date) -> list[int]:
    return [value.year, value.month, value.day]


def _time_parts(value: datetime.time | datetime.datetime) -> list[Any]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo]


def _moment(parts: list[Any]) -> Any:
    *numbers, fold, zone = only(parts, list)
    moment: datetime.datetime = datetime.datetime(*numbers).replace(tzinfo=zone, fold=fold)  # noqa: DTZ001
    return moment


def _time(parts: list[Any]) -> Any:
    *numbers, fold, zone = only(parts, list)
    return datetime.time(*numbers).replace(tzinfo=zone, fold=fold)


def _timezone_parts(value: datetime.timezone) -> list[Any]:
    # What `timezone` was made of: the name only where one was given.
    return list(value.__getinitargs__())  # type: ignore[attr-defined]


def _zone_key(value: zoneinfo.ZoneInfo, branch: Branch) -> str:
    if value.key is None:
        raise StateTypeError(
            f"{branch.shown} is a ZoneInfo that was read from a file and has no name; use "
            "ZoneInfo('Europe/Berlin') or another name"
        )
    return value.key


def _read_zone(content: Any, reader: Reader) -> zoneinfo.ZoneInfo:  # noqa: ARG001
    try:
        return zoneinfo.ZoneInfo(only(content, str))
    except zoneinfo.ZoneInfoNotFoundError:
        raise StateTypeError(
            f"it holds the time zone {content!r}, which this machine does not know; install the "
            "package tzdata to read it"
        ) from None


def _read_path(content: Any, reader: Reader) -> pathlib.PurePath:  # noqa: ARG001
    name, text = content
    if name not in _PATHS:
        raise StateDamagedError(f"a path is of the unknown class {name!r}")
    try:
        return _PATHS[name](only(text, str))
    except NotImplementedError:
        raise StateTypeError(
            f"it holds the {name} {text!r}, which this system cannot make; store it as a "
            f"Pure{name} to read it on another system"
        ) from None


def _read_random(parts: Any) -> random.Random:
    version, words, gauss = parts
    value = random.Random()  # noqa: S311
    value.setstate((version, tuple(words), gauss))
    return value


KINDS = (
    as_plain("complex", complex, lambda v: [v.real, v.imag], _complex, ("`complex`", "the same")),
    Kind(
        "bytearray",
        (bytearray,),
        lambda value, branch: base64.b64encode(value).decode(),  # noqa: ARG005
        lambda content, reader: bytearray(base64.b64decode(content, validate=True)),  # noqa: ARG005
        ("`bytearray`", "the same"),
    ),
    as_plain(
        "range",
        range,
        lambda v: [v.start, v.stop, v.step],
        lambda parts: range(*parts),
        ("`range`, `slice`", "the same"),
    ),
    as_plain("slice", slice, lambda v: [v.start, v.stop, v.step], lambda parts: slice(*parts)),
    as_plain(
        "Decimal",
        Decimal,
        str,
        lambda text: Decimal(only(text, str)),
        ("`decimal.Decimal`, `fractions.Fraction`", "the same"),
    ),
    as_plain(
        "Fraction",
        Fraction,
        lambda v: [v.numerator, v.denominator],
        lambda parts: Fraction(*parts),
    ),
    as_plain("date", datetime.date, _date_parts, lambda parts: datetime.date(*parts)),
    as_plain(
        "datetime",
        datetime.datetime,
        lambda v: [*_date_parts(v), *_time_parts(v)],
        _moment,
        (
            "`datetime`, `date`, `time`, `timedelta`, `timezone`, `zoneinfo.ZoneInfo`",
            "the same",
        ),
    ),
    as_plain("time", datetime.time, _time_parts, _time),
    as_plain(
        "timedelta",
        datetime.timedelta,
        lambda v: [v.days, v.seconds, v.microseconds],
        lambda parts: datetime.timedelta(*parts),
    ),
    as_plain(
        "timezone",
        datetime.timezone,
        _timezone_parts,
        lambda parts: datetime.timezone(*parts),
    ),
    Kind("ZoneInfo", (zoneinfo.ZoneInfo,), _zone_key, _read_zone),
    as_plain(
        "UUID",
        uuid.UUID,
        lambda v: v.hex,
        lambda text: uuid.UUID(only(text, str)),
        ("`uuid.UUID`", "the same"),
    ),
    Kind(
        "path",
        tuple(_PATHS.values()),
        lambda value, branch: [type(value).__name__, branch.node(str(value))],
        lambda content, reader: _read_path([content[0], reader.value(content[1])], reader),
        ("`pathlib.Path` and its pure kinds", "the same"),
    ),
    as_plain(
        "random.Random",
        random.Random,
        lambda v: list(v.getstate()),
        _read_random,
        ("`random.Random`", "the same, at the same place in its sequence"),
    ),
)
