"""What is between the network and an application: listeners, doors, limits.

``server``  uvicorn's server with several listeners for one application
``doors``   which listener answers which paths

It knows nothing of Flower, and serves a SuperLink and a SuperNode alike.
"""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.serving.doors import Doors
    from fedstate.serving.server import Certificate, Listener, Server

__all__ = ["Certificate", "Doors", "Listener", "Server"]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "Certificate": ".server",
            "Doors": ".doors",
            "Listener": ".server",
            "Server": ".server",
        },
    )
