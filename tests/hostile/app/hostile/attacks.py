"""All probes, from all the files that define them."""

from . import files, ipc, memory, network, privileges, signals, tasks
from .registry import PROBES

__all__ = ["PROBES", "files", "ipc", "memory", "network", "privileges", "signals", "tasks"]
