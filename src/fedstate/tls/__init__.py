"""TLS while programs run: certificates that change, that expire, and connections that fail.

``contexts``  what a connection is made with, made anew when its files have changed
``problems``  which failures of a connection are wrong settings, and which pass
``expiry``    warns of certificates that are about to expire

Nothing but the standard library is imported here: a container's health check starts with it.
"""

from fedstate.tls.contexts import ReloadedContext, client_context, server_context
from fedstate.tls.expiry import expires_soon
from fedstate.tls.problems import is_broken, setting_problem

__all__ = [
    "ReloadedContext",
    "client_context",
    "expires_soon",
    "is_broken",
    "server_context",
    "setting_problem",
]
