"""fedstate: Flower federations whose clients remember."""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.inspection.store import open_store

__all__ = ["open_store"]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    # It imports flwr, for which a container's health check must not wait.
    __getattr__ = lazy_exports(__name__, {"open_store": "fedstate.inspection.store"})
