"""What an app calls itself, read out of its FAB's bytes; nothing is unpacked."""

import io
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

# A pyproject.toml has some hundred bytes.
MAXIMUM_BYTES = 256 * 1024

_PROJECT = "pyproject.toml"
# The two of which what is read bounds what is held in memory; `flwr build` writes these alone.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


class UnreadableFabError(ValueError):
    """A FAB does not say what it is; the text says what is wrong with it."""


@dataclass(frozen=True)
class AppName:
    """What an app calls itself.

    Attributes
    ----------
    app : str
        ``publisher/name``.
    version : str
        Its version.
    """

    app: str
    version: str


def name_of(content: bytes) -> AppName:
    """Return what the app in a FAB calls itself.

    Parameters
    ----------
    content : bytes
        The FAB.

    Raises
    ------
    UnreadableFabError
        It is no archive, it has no ``pyproject.toml`` or several, or that does not name the app.
    """
    try:
        project = tomllib.loads(_project(content).decode())
    except UnreadableFabError:
        raise
    # Whatever a stranger's bytes can cause in the two parsers, deep nesting included.
    except Exception as error:
        raise UnreadableFabError(f"its {_PROJECT} cannot be read ({error})") from None
    app = _text(project, "tool", "flwr", "app", "publisher")
    return AppName(
        f"{app}/{_text(project, 'project', 'name')}", _text(project, "project", "version")
    )


def _project(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # Of two that unpack to one file, one would be judged here and the other might be used.
        found = [each for each in archive.infolist() if _place(each.filename) == _PROJECT]
        if len(found) != 1:
            raise UnreadableFabError(f"it has {len(found)} files {_PROJECT} instead of one")
        (member,) = found
        if member.compress_type not in _METHODS or member.flag_bits & _ENCRYPTED:
            raise UnreadableFabError(f"its {_PROJECT} is compressed in a way that is not read")
        with archive.open(member) as file:
            text = file.read(MAXIMUM_BYTES + 1)
    if len(text) > MAXIMUM_BYTES:
        raise UnreadableFabError(f"its {_PROJECT} has more than {MAXIMUM_BYTES} bytes")
    return text


def _place(name: str) -> str:
    """Return where a member is unpacked to, as far as it matters here."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return str(PurePosixPath(*parts)).casefold()


def _text(project: Any, *names: str) -> str:
    value = project
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise UnreadableFabError(f"its {_PROJECT} has no '{'.'.join(names)}'")
    return value
