"""Runs and FABs as a SuperLink tells a node of them, and what a node makes of them."""

from collections.abc import Mapping

from flwr.app import Context, RecordDict

# flwr.app does not export the type of a node config.
from flwr.app.user_config import UserConfig

# How flwr makes a run's config of the FAB's and of what `flwr run` was given.
from flwr.common.config import get_fused_config_from_fab

# Runs and FABs: flwr exports neither; outside of `fedstate.flower` they are only handed on.
from flwr.supercore.fab import Fab
from flwr.supercore.run import Run

# How flwr checks who has signed a FAB.
from flwr.supernode.start_client_internal import _verify_fab

# The key of the run config with which a run asks to begin with the state of another one.
FROM_RUN = "from-run"

__all__ = ["FROM_RUN", "Fab", "Run", "UserConfig", "first_context", "is_verified"]


def first_context(
    run: Run, fab: Fab, *, node_id: int, node_config: UserConfig, state: RecordDict
) -> Context:
    """Return the Context with which a run starts on a node."""
    return Context(
        run_id=run.run_id,
        node_id=node_id,
        node_config=node_config,
        state=state,
        run_config=get_fused_config_from_fab(fab.content, run),
        series_id=run.series_id,
    )


def is_verified(fab: Fab, trusted_entities: Mapping[str, str]) -> bool:
    """Return whether an entity that a node trusts has signed a FAB that has a valid license."""
    licensed = fab.verifications.get("valid_license", "")
    return bool(licensed) and _verify_fab(fab, dict(trusted_entities))
