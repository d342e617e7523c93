"""All probes, from all the files that define them."""

from . import detours, files, ipc, memory, network, privileges, signals, tasks
from .registry import PROBES

__all__ = [
    "PROBES",
    "detours",
    "files",
    "ipc",
    "memory",
    "network",
    "privileges",
    "signals",
    "tasks",
]
