"""What keeps the runs on one machine apart, enforced by the kernel.

``enclosure``    a run's walls, and the call that puts a process behind them
``offered``      which walls this machine has
``landlock``     files, ports, signals: for programs that are not root, too
``mounts``       what a run sees of the file system, and shared memory of its own
``users``        a user for each run
``limits``       how much a run may take
``processes``    what a run has started, and the end of it
``directories``  a run's files
``filter``       system calls that no app needs, and those that pass the other walls
"""

from fedstate.walls.enclosure import WallError, Walls, enter, enter_view
from fedstate.walls.limits import RunLimits, default_limits
from fedstate.walls.offered import Offered, environment_paths, offered

__all__ = [
    "Offered",
    "RunLimits",
    "WallError",
    "Walls",
    "default_limits",
    "enter",
    "enter_view",
    "environment_paths",
    "offered",
]
