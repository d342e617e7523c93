"""The node store: where a SuperNode keeps client state durably."""

from fedstate.store.backup import back_up, restore
from fedstate.store.backup_file import Backup, read_backup
from fedstate.store.check import Report
from fedstate.store.check import check as check_store
from fedstate.store.cipher import read_key
from fedstate.store.errors import (
    StoreDamagedError,
    StoreError,
    StoreForeignError,
    StoreFullError,
    StoreInUseError,
    StoreKeyError,
)
from fedstate.store.keeping_store import Origin, StateNotKeptError
from fedstate.store.kept_states import KeptState
from fedstate.store.logged_store import Failure, Held
from fedstate.store.node_store import Commit, NodeStore, StoredRun, StoredStep
from fedstate.store.requests import free_runs
from fedstate.store.retention import Choice, Freed, Retention
from fedstate.store.step_log import Attempt, Chain
from fedstate.store.values import Value

__all__ = [
    "Attempt",
    "Backup",
    "Chain",
    "Choice",
    "Commit",
    "Failure",
    "Freed",
    "Held",
    "KeptState",
    "NodeStore",
    "Origin",
    "Report",
    "Retention",
    "StateNotKeptError",
    "StoreDamagedError",
    "StoreError",
    "StoreForeignError",
    "StoreFullError",
    "StoreInUseError",
    "StoreKeyError",
    "StoredRun",
    "StoredStep",
    "Value",
    "back_up",
    "check_store",
    "free_runs",
    "read_backup",
    "read_key",
    "restore",
]
