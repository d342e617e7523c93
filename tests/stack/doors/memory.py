"""The memory of a process, as the kernel counts it."""

from pathlib import Path

from fedstate.local.process import Process


def resident(process: Process) -> int:
    """Return how many bytes of memory a process has."""
    return _status(process, "VmRSS")


def peak(process: Process) -> int:
    """Return how many bytes a process has had at most since `forget_peak`."""
    return _status(process, "VmHWM")


def forget_peak(process: Process) -> None:
    """Let the peak be what the process has now."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def _status(process: Process, name: str) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
