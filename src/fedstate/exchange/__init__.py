"""Routes that Flower's HTTP APIs lack: many objects in one request, and push notification.

Flower moves a message as a tree of objects, two for each array, each in a request of its own, and
whoever waits for a message, a reply or a task polls for it. A request costs a SuperLink 5 to 8 ms
of processor time, whatever is in it, so that most of a short round was spent on polling. Our
SuperLink and SuperNode have a few more routes (`routes`), and our clients use them where they are
(`client`): at flwr's own servers they do as flwr's clients do. Who waits is also told what has
ended (`ends`).

The routes are behind flwr's authentication like all others.
"""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.exchange.client import ExtraRoutes, Waited
    from fedstate.exchange.ends import Ends
    from fedstate.exchange.presence import Presence
    from fedstate.exchange.routes import serve
    from fedstate.exchange.signals import Notifier, Signals

__all__ = ["Ends", "ExtraRoutes", "Notifier", "Presence", "Signals", "Waited", "serve"]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "Ends": ".ends",
            "ExtraRoutes": ".client",
            "Notifier": ".signals",
            "Presence": ".presence",
            "Signals": ".signals",
            "Waited": ".client",
            "serve": ".routes",
        },
    )
