"""Flower's SuperLink with routes of our own, and with push notification."""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.superlink.main import extend, run_superlink

__all__ = ["extend", "run_superlink"]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "extend": ".main",
            "run_superlink": ".main",
        },
    )
