"""Processes that start warm: forks of a process that has already imported what they need.

flwr takes more than a second to import, and TensorFlow five, which is longer than most tasks and
most of a federation's start. The executor starts tasks this way, the local federation its
programs.

``supervisor``  the client's side: starts the fork server, asks for forks, supervises them
``server``      the fork server: it has imported, and only forks
``preload``     what it may import: nothing whose threads a fork would lose
``channel``     messages over a socket pair, between the two and to each fork
``silence``     for how long a fork server has not answered
``ending``      how a process ended, and how a fork ends itself
``finalization``  how a fork that ran an app ends: as Python ends a program
``children``    what the app's own forks do not inherit, and how they end
"""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.forking.channel import Channel, MalformedMessageError
    from fedstate.forking.ending import Ending, end_with
    from fedstate.forking.supervisor import (
        Child,
        ForeignProcessError,
        ForkClient,
        ForkedChild,
        ForkServer,
        ForkServers,
    )

__all__ = [
    "Channel",
    "Child",
    "Ending",
    "ForeignProcessError",
    "ForkClient",
    "ForkServer",
    "ForkServers",
    "ForkedChild",
    "MalformedMessageError",
    "end_with",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "Channel": ".channel",
            "Child": ".supervisor",
            "Ending": ".ending",
            "ForeignProcessError": ".supervisor",
            "ForkClient": ".supervisor",
            "ForkServer": ".supervisor",
            "ForkServers": ".supervisor",
            "ForkedChild": ".supervisor",
            "MalformedMessageError": ".channel",
            "end_with": ".ending",
        },
    )
