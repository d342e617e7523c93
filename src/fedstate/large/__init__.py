"""Contexts of up to 2 GiB: their larger arrays travel and are stored beside protobuf."""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.large.context import SplitContext
    from fedstate.large.middleware import LargeContexts
    from fedstate.large.wire import LargeArrays, join_message, split_message

__all__ = ["LargeArrays", "LargeContexts", "SplitContext", "join_message", "split_message"]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "LargeArrays": ".wire",
            "LargeContexts": ".middleware",
            "SplitContext": ".context",
            "join_message": ".wire",
            "split_message": ".wire",
        },
    )
