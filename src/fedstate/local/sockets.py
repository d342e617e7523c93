"""The Unix sockets between servers and executors of a local federation."""

from pathlib import Path

from fedstate.unix_sockets import OPTION, PASSAGE_MODE

# In the directory of the node, or of the SuperLink, which nobody else may pass.
SOCKET = Path("runtime", "api.sock")


def prepare(owner: Path) -> None:
    """Make the directory of a server's socket: its executor leads runs into it, past the others.

    Parameters
    ----------
    owner : Path
        The directory of the node, or of the SuperLink.
    """
    directory = (owner / SOCKET).parent
    directory.mkdir(exist_ok=True)
    directory.chmod(PASSAGE_MODE)


def options(owner: Path) -> list[str]:
    """Return the options that name the socket, to the server and to its executor alike."""
    return [OPTION, str(owner / SOCKET)]
