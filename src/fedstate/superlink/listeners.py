"""Where a SuperLink's three APIs are served: on a listener for each audience, or on one port.

Control is for the operator and those who start runs, Fleet for the nodes, Runtime for the
executor of the ServerApps. On listeners of its own, an API is reached by its audience alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedstate.errors import SettingError
from fedstate.serving.server import Listener, SocketListener
from fedstate.superlink.middleware import CONTROL, FLEET, RUNTIME

_PATHS = {"control": CONTROL, "fleet": FLEET, "runtime": RUNTIME}


@dataclass(frozen=True)
class Addresses:
    """The addresses that the options name; each is ``HOST:PORT``, and none is given without all.

    Attributes
    ----------
    control, fleet, runtime : sequence of str
        Where each API is served; empty if everything is on one port.
    socket : Path, optional
        The Unix socket on which the Runtime API is served, too.
    """

    control: Sequence[str] = ()
    fleet: Sequence[str] = ()
    runtime: Sequence[str] = ()
    socket: Path | None = None

    def check(self, *, one_port: bool) -> None:
        """Make sure that they can be meant.

        Parameters
        ----------
        one_port : bool
            Whether ``--host`` or ``--port`` was given, too.

        Raises
        ------
        SettingError
            If one is missing, or is no address, or there are two answers to where an API is.
        """
        given = {api: bool(getattr(self, api)) for api in _PATHS}
        if not any(given.values()):
            return
        missing = " and ".join(f"--{api}" for api in _PATHS if not given[api])
        if missing:
            raise SettingError(
                f"There is no {missing}: give --control, --fleet and --runtime, or none of them, "
                "and everything is on one port."
            )
        if one_port:
            raise SettingError(
                "--host and --port are where everything is on one port; leave them out, or "
                "--control, --fleet and --runtime."
            )
        for api in _PATHS:
            for text in getattr(self, api):
                _host_and_port(text, f"--{api}")

    @property
    def for_executors(self) -> tuple[str, int] | None:
        """The host and port at which the SuperLink's own executor finds the Runtime API."""
        return _host_and_port(self.runtime[0], "--runtime") if self.runtime else None

    def listeners(self, host: str, port: int) -> list[Listener | SocketListener]:
        """Return what a SuperLink listens on.

        Parameters
        ----------
        host, port : str and int
            Where everything is, if these addresses are none.
        """
        found: list[Listener | SocketListener] = [
            Listener(
                f"{api.capitalize()} API", *_host_and_port(text, f"--{api}"), f"--{api}", [path]
            )
            for api, path in _PATHS.items()
            for text in getattr(self, api)
        ] or [Listener("SuperLink", host, port)]
        if self.socket is not None:
            found.append(SocketListener("Runtime API", self.socket, [RUNTIME]))
        return found


def _host_and_port(text: str, option: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_host = bool(bare) and "/" not in bare and (bare != host or ":" not in bare)
    if not is_host or not (port.isdecimal() and port.isascii() and 0 < int(port) < 2**16):
        raise SettingError(
            f"{option} is '{text}', which is not HOST:PORT; give an address of this machine and "
            "a port from 1 to 65535, such as 127.0.0.1:8000 or [::1]:8000."
        )
    return bare, int(port)
