"""The durable SuperNode, built from flwr's own parts around a durable NodeState.

``main``              puts the SuperNode together; ``options`` reads its command line
``membership``        the node's session at the SuperLink: join, heartbeat, rejoin, leave
``session``           what lets the next SuperNode go on with the session
``link``              runs, messages and replies at the SuperLink; ``replies`` sends a reply
``pacing``            how long to pause before the next poll
``admission``         whether a run may start on this node, and go on
``screening``         which apps may run; ``allow`` reads the list, ``fab_names`` an app's name
``machine``           the life of a step as a table
``turns``             which step is next; ``runs``, which runs go on
``steps``             runs the machine; ``actions`` does what it commands; ``step`` is one step
``log_answers``       answers who asks for the node's log
``runtime_api``       serves the Runtime API to executors; ``runtime_handlers`` are its hooks
``maintenance``       checkpoints, ended runs, retention, expired tasks
"""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.supernode.link import Link
    from fedstate.supernode.machine import advance
    from fedstate.supernode.main import DurableSettings, run_supernode
    from fedstate.supernode.membership import Membership
    from fedstate.supernode.steps import Steps

__all__ = ["DurableSettings", "Link", "Membership", "Steps", "advance", "run_supernode"]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "DurableSettings": ".main",
            "Link": ".link",
            "Membership": ".membership",
            "Steps": ".steps",
            "advance": ".machine",
            "run_supernode": ".main",
        },
    )
