"""The records of runs: where a ServerApp writes them and ``fedstate verify`` reads them.

Each run has a directory of its own, ``$FEDSTATE_RUNS/RUN``, in which its ServerApp alone writes:
where each run has a user of its own, no other can overwrite what is in it. Its record is the file
``record.jsonl``: a line of what the run is, then one for each reply and for what each node said.
"""

import os
from pathlib import Path

from fedstate.connection import flwr_home

# The schema of one run's record, and that of earlier releases: one JSON object in RUN.json.
SCHEMA = "fedstate.run/2"
OLD_SCHEMA = "fedstate.run/1"

# A record is for everybody who may look into the directory of records.
DIRECTORY_MODE = 0o755
RECORD_MODE = 0o644


def runs_directory() -> Path:
    """Return where the records of runs are: ``$FEDSTATE_RUNS``, or in Flower's directory."""
    configured = os.environ.get("FEDSTATE_RUNS")
    return Path(configured) if configured else flwr_home() / "fedstate" / "runs"


def record_file(directory: Path, run_id: int | str) -> Path:
    """Return the file of a run's record."""
    return directory / str(run_id) / "record.jsonl"


def old_record_file(directory: Path, run_id: int | str) -> Path:
    """Return the file that earlier releases wrote for a run."""
    return directory / f"{run_id}.json"
