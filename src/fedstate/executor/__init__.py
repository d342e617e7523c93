"""The executor: a fresh process for every task, without a fresh import of TensorFlow.

``main``           the executor's process: what it is made of, and how it ends
``watch``          the parent of that process, which starts it again when it dies or hangs
``heart``          says to the parent that the executor works
``heartbeat``      the file in which the parent says so to others
``loop``           acquires tasks from a SuperNode or SuperLink, in place of ``flower-superexec``
``notifications``  waits on a thread for the server's notifications of tasks
``pool``           the tasks under way: launched, limited, supervised
``task``           what the executor knows of one task under way
``rooms``          a room for each run: made when its first task comes, cleared away with the run
``authority``      the server's certificate authority, brought into every room when it changes
``room_client``    one run's room as the executor sees it
``plan``           what a room is to be, as both sides need it
``room_settings``  what the options say of rooms
``output``         what the programs of a run print: a pipe to the executor, which bounds it
``usage``          what the runs take, and which limit one of them has passed
``deletions``      deletes what ended runs have left, beside everything else
``failure``        reports a task whose process died to the server
``preload``        what the fork server imports; the fork server itself is in `fedstate.forking`
``spawned``        a task's process where nothing is to be preloaded

In the process of a room runs

``room``           it goes behind the run's walls, and forks the processes of its tasks

In the process of a task run

``worker``         takes the task from the executor, runs it, and ends the process
``clientapp``      a ClientApp: its input, its call, its reply and Context
``loading``        the app imported as on stock: its environment, its dependencies
``imports``        records what the import brings, for the tasks that follow
``bare``           goes on in an interpreter in which nothing is preloaded
``serverapp``      what a ServerApp's process is given before flwr's own program runs
``install``        puts an app into its place, once for all of its tasks
``dependencies``   has what an app depends on installed, once for all of its tasks
``environment``    says which variables an app sets too late; ``settings`` reads its sources

In the process of which a run's tasks are forks runs

``replay``         imports what the first task has recorded, an ``import_report``
"""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.executor.main import run_executor
    from fedstate.executor.pool import Limits
    from fedstate.executor.preload import modules_of
    from fedstate.executor.room_settings import RoomSettings
    from fedstate.flower.tasks import RuntimeApi

__all__ = ["Limits", "RoomSettings", "RuntimeApi", "modules_of", "run_executor"]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "Limits": ".pool",
            "RoomSettings": ".room_settings",
            "RuntimeApi": "fedstate.flower.tasks",
            "modules_of": ".preload",
            "run_executor": ".main",
        },
    )
