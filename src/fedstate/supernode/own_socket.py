"""The Unix socket between a SuperNode and the executor that it starts itself."""

from pathlib import Path

from fedstate.errors import FederationError
from fedstate.logs import logger
from fedstate.unix_sockets import PASSAGE_MODE, listen

_DIRECTORY = "runtime"
_NAME = "api.sock"


def own_socket(state: Path) -> Path | None:
    """Return where the socket can be, in a directory of its own below the state directory.

    Returns
    -------
    Path or None
        None if it cannot be made there, since the file system has no sockets, say: the executor
        then connects by TCP.
    """
    directory = state.absolute() / _DIRECTORY
    path = directory / _NAME
    try:
        directory.mkdir(exist_ok=True)
        directory.chmod(PASSAGE_MODE)
        bound = listen(path, 1, what="SuperNode's API")
    except (OSError, FederationError) as error:
        logger.warning("The executor connects by TCP: %s", error)
        return None
    bound.close()
    return path
