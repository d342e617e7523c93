"""What commands ask of the process that runs a federation: files in a directory of it.

A file names the processes that are to be started again; the answer is the record of the
federation, in which they have other process IDs.
"""

import contextlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from fedstate.files import PRIVATE, write_new

_DIRECTORY = "orders"


def give(directory: Path, names: Sequence[str]) -> Path:
    """Ask that processes are started again; return a file that is there until it is begun."""
    file = directory / _DIRECTORY / f"{secrets.token_hex(8)}.json"
    write_new(file, json.dumps(list(names)).encode(), PRIVATE)
    return file


def take(directory: Path) -> list[str]:
    """Return the names of all processes that are to be started again, once."""
    names: list[str] = []
    for file in sorted((directory / _DIRECTORY).glob("[!.]*.json")):
        # One that cannot be removed would be followed for ever; one that is no list is not ours.
        with contextlib.suppress(OSError, ValueError, TypeError):
            content = file.read_bytes()
            file.unlink()
            names += [each for each in json.loads(content) if isinstance(each, str)]
    return names
