"""The time for which a node has kept something, whatever its wall clock says.

What counts is the time of one boot after the other, as the kernel counts it: nobody sets that
clock, and it goes on while the machine sleeps and while no SuperNode runs. While the machine is
off nothing is counted, so that states are rather kept too long.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True)
class Moment:
    """A moment of one boot of one machine.

    Attributes
    ----------
    boot : str
        The name of the boot.
    seconds : float
        The time since then.
    """

    boot: str
    seconds: float


def since_boot() -> float:
    """Return the seconds since the boot, also those in which the machine slept."""
    return time.clock_gettime(_SINCE_BOOT)


def present() -> Moment:
    """Return this moment."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        # One boot cannot be told from another: time counts within a process.
        boot = f"process-{os.getpid()}"
    return Moment(boot, since_boot())
