"""What is between the network and an application: listeners, doors, limits.

``server``  uvicorn's server with several listeners for one application
``doors``   which listener answers which paths

``limits``       what is granted to whoever connects, and ``options`` to set it
``connections``  how many may be open, and which gives way to another; ``peers``, whose they are
``protocol``     HTTP with bounds on headers
``credentials``  what headers prove, before a body is read
``bodies``       how large a body may be, and how slow; ``answers`` to all that

It knows nothing of Flower, and serves a SuperLink and a SuperNode alike.
"""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.serving.doors import Doors
    from fedstate.serving.limits import Limits
    from fedstate.serving.server import Certificate, Listener, Server, SocketListener

__all__ = ["Certificate", "Doors", "Limits", "Listener", "Server", "SocketListener"]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "Certificate": ".server",
            "Doors": ".doors",
            "Limits": ".limits",
            "Listener": ".server",
            "Server": ".server",
            "SocketListener": ".server",
        },
    )
