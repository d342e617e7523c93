"""Values as JSON: what JSON does not have is written as text that says what it is."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedstate.inspection.value import Value
from fedstate.state.history import History


def write_json(values: Sequence[Value], file: Path, *, alone: bool) -> None:
    """Write values by name, or a single value alone, as JSON.

    A history is an object with its rounds and values, an array a list of lists, bytes are base64.
    Floats that JSON does not have are the texts ``NaN``, ``Infinity`` and ``-Infinity``.
    """
    plain = [to_plain(_readable(value)) for value in values]
    named = {value.name: content for value, content in zip(values, plain, strict=True)}
    content = plain[0] if alone else named
    with file.open("w", encoding="utf-8") as out:
        json.dump(content, out, allow_nan=False)
        out.write("\n")


def _readable(value: Value) -> Any:
    if value.is_history:
        return value.history()
    stored = value.load_stored()
    if value.tag == "scalar":
        return stored["value"]
    if value.tag == "numpy.array":
        return next(iter(stored.values()))
    return stored


def to_plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, History):
        return {"rounds": value.rounds, "values": to_plain(value.values)}
    if isinstance(value, np.ndarray):
        return to_plain(_listed(value))
    if isinstance(value, np.generic):
        item = value.item()
        # Of a long double that is one again.
        return to_plain(
            complex(item)
            if isinstance(item, np.complexfloating)
            else float(item)
            if isinstance(item, np.floating)
            else item
        )
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else str(key): to_plain(v) for key, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return [to_plain(item) for item in sorted(value, key=repr)]
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, complex):
        return [to_plain(value.real), to_plain(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float):
        return value
    # Lone surrogates, which UTF-8 does not have, and what has no better form than its text.
    return str(value).encode("utf-8", "backslashreplace").decode()


def _listed(array: Any) -> Any:
    if array.dtype.isbuiltin == 2:
        array = array.astype(np.float64)
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag], axis=-1).tolist()
    if array.dtype.kind in "mM":
        return (
            np.datetime_as_string(array).tolist()
            if array.dtype.kind == "M"
            else (array.astype(np.int64).tolist())
        )
    return array.tolist()
