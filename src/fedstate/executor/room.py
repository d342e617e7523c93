"""The process of a run's room: it goes behind the run's walls, and then only forks.

A fork of the fork server that becomes one itself: it never runs a module of the app, but each
task of the run is a fork of it, and so behind the same walls.
"""

import contextlib
import os
import socket
import sys
import tempfile
import time
from dataclasses import replace
from importlib import import_module
from typing import Any, NoReturn

from fedstate.errors import FedstateError
from fedstate.executor import bare, worker
from fedstate.executor.bare_room import TERMINALS
from fedstate.executor.import_report import ImportReport
from fedstate.executor.output import open_output
from fedstate.executor.plan import RoomPlan
from fedstate.executor.replay import replay
from fedstate.flower.task_order import TaskOrder
from fedstate.forking.channel import Channel
from fedstate.forking.ending import end_with
from fedstate.forking.server import adopt_orphans, freeze, serve_forks
from fedstate.logs import release
from fedstate.unix_sockets import by_descriptor
from fedstate.walls import enter as enter_walls
from fedstate.walls.processes import descendants, kill_all

_BROKEN = 2
_NO_ROOM = 3
# A task notices that its executor has gone, and sends an error reply.
_LEAVE_SECONDS = 6.0
_PAUSE_SECONDS = 0.02

_plan: RoomPlan | None = None
# The directory of the server's socket, if it is held open for the tasks.
_passage: int | None = None
# Whether the run's view of files has terminals of its own; None where `enter` makes the view.
_terminals: bool | None = None


def run(descriptor: int) -> NoReturn:
    """Become the room that is described over the descriptor, and end this process with it."""
    end_with(lambda: _main(descriptor), broken=_BROKEN)


def go_on(descriptor: int, *, terminals: bool) -> NoReturn:
    """Do as `run` does, in a process whose view of files is made already."""
    global _terminals
    _terminals = terminals
    run(descriptor)


def _main(descriptor: int) -> int:
    owner = Channel(socket.socket(fileno=descriptor))
    # Before the walls: whoever is to end this process if it hangs has to know it.
    owner.send({"event": "started", "pid": os.getpid()})
    code = serve_forks(
        owner, worker.__name__, {"room": _enter, "import": _import, "certificate": _certify}
    )
    _end_all()
    return code


def _enter(owner: Channel, message: dict[str, Any]) -> None:
    try:
        enter(RoomPlan.from_json(message["room"]))
    except (OSError, FedstateError) as error:
        owner.send({"event": "failed", "reason": str(error)})
        sys.exit(_NO_ROOM)
    freeze()
    owner.send({"event": "ready"})


def enter(plan: RoomPlan) -> None:
    """Put this process behind the walls of a run, and into its directories.

    Raises
    ------
    WallError
        A wall is not up as it should be; this process must end.
    OSError
        The run's directories cannot be made.
    """
    global _plan, _passage
    _plan = plan
    adopt_orphans()
    # As a program that Flower starts does; the executor makes lines of what it prints.
    release()
    open_output(plan.directory)
    if plan.walls is not None and _terminals is not None:
        walls = replace(plan.walls, own_memory=False, own_terminals=_terminals)
        _passage = enter_walls(walls)
    elif plan.walls is not None:
        _passage = enter_walls(plan.walls)
    os.environ.update(plan.environment)
    # Python, like Keras, has remembered where the executor's directory was.
    tempfile.tempdir = None
    keras = sys.modules.get("keras.src.backend.config")
    if keras is not None:
        keras.__dict__["_KERAS_DIR"] = plan.environment["KERAS_HOME"]
    for place in plan.environment.values():
        if place.startswith(f"{plan.directory}/"):
            os.makedirs(place, mode=0o700, exist_ok=True)  # noqa: PTH103
    plan.write_certificate()
    plan.work.mkdir(mode=0o700, exist_ok=True)
    os.chdir(plan.work)


def remembered() -> dict[str, Any] | None:
    """Return the plan of the room that this process is in, for `remember`; None for no room."""
    return None if _plan is None else _plan.to_json()


def inherited_passage() -> int | None:
    """Let the program that this process executes next have the room's passage; return it."""
    if _passage is not None:
        os.set_inheritable(_passage, True)
    return _passage


def remember(plan: dict[str, Any] | None, passage: int | None = None) -> None:
    """Note in which room this process is, without going into it: it is there already."""
    global _plan, _passage
    _plan = None if plan is None else RoomPlan.from_json(plan)
    _passage = passage
    if passage is not None:
        os.set_inheritable(passage, False)


def reaching(order: TaskOrder) -> TaskOrder:
    """Return an order of which this process reaches the server's socket."""
    if _plan is None or _plan.socket is None:
        return order
    socket = str(_plan.socket)
    if _passage is not None:
        socket = by_descriptor(_passage, _plan.socket.name)
    return replace(order, runtime_api_socket=socket)


def hint(error: BaseException) -> str:
    """Return what to add to an app's error that a limit of the run explains; or nothing."""
    sentence = None if _plan is None else _plan.limits.hint(error)
    return "" if sentence is None else f" {sentence}"


def make_way(error: BaseException) -> None:
    """End what the app has started, if its error is that it may start no more.

    To report the error may take a thread, which counts as well.
    """
    if _plan is None or _plan.limits.reached(error) != "processes":
        return
    kill_all(lambda: descendants(os.getpid()))
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # until then they count, too
            pass


def _import(owner: Channel, message: dict[str, Any]) -> None:
    """Import what every further task of the run finds imported, and say what came of it."""
    done = replay(ImportReport.from_json(message["import"]))
    owner.send({"event": "imported", "left": done.left, "fit": done.fit})


def take_certificate(certificate: str) -> None:
    """Put the server's certificate authority, which has changed, where tasks look for it."""
    global _plan
    if _plan is not None:
        _plan = replace(_plan, certificate=certificate)
        with contextlib.suppress(OSError):  # the run has filled its file system
            _plan.write_certificate()


def _certify(_owner: Channel, message: dict[str, Any]) -> None:
    take_certificate(message["certificate"])


def _end_all() -> None:
    """End what is left of the run: the executor has gone, or wants it so."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    while descendants(os.getpid()) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    kill_all(lambda: descendants(os.getpid()))


if __name__ == "__main__":
    bare.mark()
    # What runs a ClientApp imports flwr alone, as flwr's own process for it does.
    import_module("fedstate.executor.clientapp")
    # Under its own name, by which the processes of tasks know it.
    room = import_module("fedstate.executor.room")
    if sys.argv[2:]:
        room.go_on(int(sys.argv[1]), terminals=sys.argv[2] == TERMINALS)
    room.run(int(sys.argv[1]))
