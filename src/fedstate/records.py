"""The records of runs: where a ServerApp writes them and ``fedstate verify`` reads them."""

import os
from pathlib import Path

from fedstate.connection import flwr_home

# The schema of one run's record.
SCHEMA = "fedstate.run/1"


def runs_directory() -> Path:
    """Return where the records of runs are: ``$FEDSTATE_RUNS``, or in Flower's directory."""
    configured = os.environ.get("FEDSTATE_RUNS")
    return Path(configured) if configured else flwr_home() / "fedstate" / "runs"
