"""The entry of a fork server that stands in for a room: it has replayed a report of imports.

The report comes in the environment, as does whether the server counts as a bare interpreter.
"""

import json
import os
import sys

from fedstate.executor import bare
from fedstate.executor.import_report import ImportReport
from fedstate.executor.replay import replay
from fedstate.executor.worker import run

__all__ = ["run"]

if os.environ.pop("TEST_BARE", ""):
    bare.mark()
import fedstate.executor.clientapp  # noqa: F401

if given := os.environ.pop("TEST_REPORT", ""):
    done = replay(ImportReport.from_json(json.loads(given)))
    print("replayed:", done, file=sys.stderr)  # noqa: T201
