"""Probes that stop, kill, slow down or reconfigure processes of others."""

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .kernel import call
from .memory import ALL
from .registry import Attempts, Denied, Hints, probe

_GONE = "EACCES EPERM ESRCH"


def _processes(hints: Hints, attempts: Attempts, attempt: Callable[[int], Any]) -> None:
    for name, pid in hints.processes.items():
        attempts.of(f"{name} ({pid})", lambda pid=pid: attempt(pid))


@probe(_GONE, before=ALL)
def stop_others(hints: Hints, attempts: Attempts) -> None:
    """Stop the executor, the fork server, the SuperNode and the victim by SIGSTOP."""

    def stop(pid: int) -> str:
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGCONT)
        return "stopped, and let go on"

    _processes(hints, attempts, stop)


@probe(_GONE, before=ALL)
def kill_others(hints: Hints, attempts: Attempts) -> None:
    """Find out whether others could be killed: by signal 0, to them and to their groups."""
    _processes(hints, attempts, lambda pid: os.kill(pid, 0))
    # The group of a container's first process has the number that means everybody.
    for name, pid in hints.processes.items():
        if pid > 1:
            attempts.of(name, lambda pid=pid: os.killpg(os.getpgid(pid), 0))


@probe(f"{_GONE} EINVAL", before=ALL)
def signal_by_other_calls(hints: Hints, attempts: Attempts) -> None:
    """Send signals by a pidfd, to a thread, and with a value, in place of kill."""
    _processes(hints, attempts, lambda pid: signal.pidfd_send_signal(os.pidfd_open(pid), 0))
    _processes(hints, attempts, lambda pid: call("tgkill", pid, pid, 0))
    info = ctypes.create_string_buffer(128)
    ctypes.cast(info, ctypes.POINTER(ctypes.c_int))[2] = -1  # SI_QUEUE
    _processes(hints, attempts, lambda pid: call("rt_sigqueueinfo", pid, 0, info))


@probe(f"{_GONE} not_stopped", before=ALL)
def stop_the_victim_by_a_descriptor(hints: Hints, attempts: Attempts) -> None:
    """Make the victim the owner of a socket, so that the kernel sends it SIGSTOP (F_SETOWN)."""
    set_signal = 10  # F_SETSIG

    def stop(pid: int) -> str:
        ours, theirs = socket.socketpair()
        fcntl.fcntl(ours, set_signal, signal.SIGSTOP)
        fcntl.fcntl(ours, fcntl.F_SETOWN, pid)
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        theirs.send(b"x")
        time.sleep(0.05)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state not in "Tt":
            raise Denied("not stopped")
        os.kill(pid, signal.SIGCONT)
        return "stopped"

    for name, pid in hints.processes.items():
        if "victim" in name:
            attempts.of(name, lambda pid=pid: stop(pid))


@probe(_GONE, before=ALL)
def limit_others(hints: Hints, attempts: Attempts) -> None:
    """Set the limits of other processes (prlimit), to what they are: it could be nothing."""

    def limited(pid: int) -> str:
        limits = (512, 512)
        with contextlib.suppress(OSError):
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        return f"limits {limits}"

    _processes(hints, attempts, limited)


@probe(_GONE, before=ALL, still_open="landlock")
def slow_others_down(hints: Hints, attempts: Attempts) -> None:
    """Set other processes' priority and processors, to what they are."""
    _processes(
        hints,
        attempts,
        lambda pid: os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid)),
    )
    _processes(hints, attempts, lambda pid: os.sched_setaffinity(pid, os.sched_getaffinity(pid)))
    _processes(hints, attempts, lambda pid: call("ioprio_set", 1, pid, 0))


@probe("EPERM EACCES ESRCH EINVAL", before="root")
def raise_its_own_priority(hints: Hints, attempts: Attempts) -> None:
    """Take precedence before all other processes."""
    attempts.of("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -10))
    attempts.of(
        "real time",
        lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    )


@probe("EACCES EPERM EINVAL", before="root")
def protect_itself_from_the_kernel(hints: Hints, attempts: Attempts) -> None:
    """Lower its own score, so that the kernel kills the fork server first when memory is out."""

    def lowered() -> str:
        file = Path("/proc/self/oom_score_adj")
        before = int(file.read_text())
        file.write_text(str(min(before, 0) - 1))
        return f"{before}, now {file.read_text()}"

    attempts.of("oom_score_adj", lowered)


@probe("EPERM EINVAL", before="root")
def lift_its_own_limits(hints: Hints, attempts: Attempts) -> None:
    """Lift the limits of processes, files and memory above what it was given."""
    for name in ("NPROC", "NOFILE", "MEMLOCK", "MSGQUEUE", "RTPRIO", "NICE"):
        kind = getattr(resource, f"RLIMIT_{name}")

        def lifted(kind: int = kind) -> str:
            _, hard = resource.getrlimit(kind)
            if hard == resource.RLIM_INFINITY:
                raise PermissionError(1, "there is no limit to lift")
            try:
                resource.setrlimit(kind, (hard, hard + 1))
            except ValueError:  # what Python makes of EPERM
                raise PermissionError(1, "not above the limit") from None
            return f"above {hard}"

        attempts.of(name, lifted)
