"""The federation as plain processes, for machines without Docker.

``federation``  a SuperLink, SuperNodes and their executors
``accounts``    its operator, and where the calls of its Control API are logged
``ports``       who of it listens where
``programs``    what it is made of
``process``     one of these processes: started, watched, stopped
``member``      such a process and how it is
``supervisor``  keeps them running: what ends is started again
``patience``    how soon, and when no longer
``presence``    who runs a federation, and what was left by who was killed
``orders``      what commands ask of who runs it
``running``     a federation that another process runs
``log_files``   its logs
``launcher``    starts fedstate's programs as forks of processes that have imported them
``launched``    becomes the program, in such a fork
``execute``     starts any other program
``rooms``       where its executors keep what their runs have
``runs``        starts runs on a federation and waits for them
"""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.local.execute import Start, Started
    from fedstate.local.federation import Federation, LocalNode
    from fedstate.local.launcher import Launcher, shared_launcher
    from fedstate.local.process import Process, check_port, free_port
    from fedstate.local.programs import STOCK, Programs
    from fedstate.local.runs import start, submit, wait_for_runs

__all__ = [
    "STOCK",
    "Federation",
    "Launcher",
    "LocalNode",
    "Process",
    "Programs",
    "Start",
    "Started",
    "check_port",
    "free_port",
    "shared_launcher",
    "start",
    "submit",
    "wait_for_runs",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "STOCK": ".programs",
            "Federation": ".federation",
            "Launcher": ".launcher",
            "LocalNode": ".federation",
            "Process": ".process",
            "Programs": ".programs",
            "Start": ".execute",
            "Started": ".execute",
            "check_port": ".process",
            "free_port": ".process",
            "shared_launcher": ".launcher",
            "start": ".runs",
            "submit": ".runs",
            "wait_for_runs": ".runs",
        },
    )
