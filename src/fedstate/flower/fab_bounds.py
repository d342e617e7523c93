"""FABs whose pyproject.toml is no bomb.

flwr's SuperLink takes a FAB of 10 MiB, and reads its pyproject.toml as a whole, whatever that is
when it is unpacked. What an archive says of a file's size need not be true, and the lie comes out
when all of it has been unpacked: how much it can be is known by the compressed size alone.
"""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from fedstate.flower.routing import malformed_request

_PROJECT = "pyproject.toml"
_LARGEST = 2**20
# Deflate makes at most 1032 bytes out of one; the other methods know no such bound.
_LARGEST_DEFLATED = 32 * 2**10
_BOUNDS = {zipfile.ZIP_STORED: _LARGEST, zipfile.ZIP_DEFLATED: _LARGEST_DEFLATED}


def check_fabs(message: Any) -> None:
    """Refuse a request with a FAB that must not be read.

    Parameters
    ----------
    message
        The message of the request, of whichever type it is.
    """
    for fab in _fabs(message):
        if fab.content:
            _check(fab.content)


def _fabs(message: Any) -> Iterator[Any]:
    for name in ("fab", "start_run_request"):
        if name in message.DESCRIPTOR.fields_by_name and message.HasField(name):
            inner = getattr(message, name)
            if name == "fab":
                yield inner
            else:
                yield from _fabs(inner)


def _check(content: bytes) -> None:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            project = archive.getinfo(_PROJECT)
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError) as error:
        raise malformed_request(f"The FAB is no archive with a {_PROJECT}: {error}.") from None
    bound = _BOUNDS.get(project.compress_type, 0)
    if project.compress_size > bound or project.file_size > _LARGEST:
        raise malformed_request(
            f"The FAB's {_PROJECT} has {project.file_size} bytes, {project.compress_size} when "
            f"compressed; {_LARGEST} are taken, and {_LARGEST_DEFLATED} of deflated ones."
        )
