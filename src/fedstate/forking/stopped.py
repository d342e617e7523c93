"""Whether a process is stopped: it is there, and does nothing until somebody lets it go on."""

from pathlib import Path


def is_stopped(pid: int) -> bool:
    """Return whether a process was stopped by a signal, such as SIGSTOP.

    False for a process that is not there, and on a system without ``/proc``.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # The name before it is in parentheses, and may hold any character itself.
    return status.rpartition(") ")[2].startswith("T")
