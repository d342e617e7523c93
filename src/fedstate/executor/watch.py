"""A parent of the executor that starts it again when it dies, is stopped, or hangs.

It does nothing else, so that there is nothing it could hang in: it imports neither flwr nor
TensorFlow, opens no connection, and has no thread.
"""

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Self

from fedstate import system
from fedstate.errors import FederationError, SettingError
from fedstate.executor.heart import Heart
from fedstate.executor.heartbeat import write_heartbeat
from fedstate.forking.channel import Channel
from fedstate.forking.ending import Ending
from fedstate.forking.server import fork
from fedstate.logs import logger
from fedstate.process_table import is_stopped

# How long the executor may be silent while it runs, and while it starts: it imports flwr, which
# takes some seconds, and on a machine that is under load many times that.
PATIENCE_SECONDS = 15.0
START_SECONDS = 180.0
# How long the tasks of an executor that has died have for what they still report.
_GRACE_SECONDS = 5.0
# How often the executor is looked at though it says nothing, and its heartbeat written at most.
_TICK_SECONDS = 3.0
_NOTE_SECONDS = 1.0
_TRIES = 3

_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
_SIGNALS = (*_PASSED_ON, signal.SIGCHLD)


def watched(heartbeat: Path | None = None) -> Heart:
    """Continue in a child of this process; here, watch over it, and never return.

    Only where this is the one thread of Python, and on Linux. The child ends with this process,
    whatever ends it. What it leaves behind when it ends is killed.

    Parameters
    ----------
    heartbeat
        A file that says when the executor was last known to work; None for none.

    Returns
    -------
    Heart
        In the child: it has to beat.

    Raises
    ------
    SystemExit
        In this process, with the child's exit code, when the child has ended by its own doing.
    FederationError
        In this process, when the child was killed several times before it had worked.
    SettingError
        The file cannot be written.
    """
    if heartbeat is not None:
        try:
            write_heartbeat(heartbeat, alive=time.monotonic(), worked=None)
        except OSError as error:
            raise SettingError(
                f"--heartbeat-file names {heartbeat}, which cannot be written "
                f"({error.strerror}): give a file in a directory of the executor's own."
            ) from error
    system.prctl(system.PR_SET_CHILD_SUBREAPER, 1)
    with _Signals() as signals:
        return _Watch(heartbeat, signals).run()


class _Signals:
    """The signals of the watching process, which are taken in where it waits for them."""

    def __init__(self) -> None:
        self.reading, self._writing = socket.socketpair()
        self.reading.setblocking(False)
        self._writing.setblocking(False)
        self._passed_on: list[int] = []

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._wakeup_before = signal.set_wakeup_fd(
            self._writing.fileno(), warn_on_full_buffer=False
        )
        for number in _SIGNALS:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self.reading.close()
        self._writing.close()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number in _PASSED_ON:
            self._passed_on.append(number)

    def to_pass_on(self) -> list[int]:
        """Return the signals that have come since this was last asked."""
        with contextlib.suppress(BlockingIOError):
            self.reading.recv(4096)
        received, self._passed_on = self._passed_on, []
        return received

    @staticmethod
    @contextmanager
    def held_back() -> Iterator[None]:
        """Hold signals back, so that none comes between a fork and what the child undoes."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Watch:
    """Watches over one executor after the other."""

    def __init__(self, heartbeat: Path | None, signals: _Signals) -> None:
        self._heartbeat = heartbeat
        self._signals = signals
        self._stopping = False
        self._worked: float | None = None
        self._noted = -_NOTE_SECONDS

    def run(self) -> Heart:
        """Start executors and follow them; return in each of them."""
        fruitless = 0
        while True:
            started = time.monotonic()
            child = self._start()
            if isinstance(child, Heart):
                return child
            ending, why = self._follow(child)
            child.channel.close()
            self._end_what_is_left(0 if ending.orderly else _GRACE_SECONDS)
            if ending.orderly or self._stopping:
                code = ending.code or 0
                raise SystemExit(code if code >= 0 else 128 - code)
            worked = self._worked is not None and self._worked > started
            fruitless = 0 if worked else fruitless + 1
            if fruitless == _TRIES:
                raise FederationError(
                    f"The executor {why or ending} before it worked, {_TRIES} times: its log "
                    "says more."
                )
            logger.warning("The executor %s; another takes its place.", why or ending)

    def _start(self) -> "Heart | _Child":
        watch_pid = os.getpid()
        with self._signals.held_back():
            channel, theirs = Channel.pair()
            if (pid := fork()) == 0:
                self._signals.__exit__()
                channel.close()
                system.prctl(system.PR_SET_CHILD_SUBREAPER, 0)
                system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != watch_pid:  # it has died in between
                    os._exit(1)
                return Heart(Channel(theirs), watch_pid)
        theirs.close()
        channel.socket.setblocking(False)
        return _Child(pid, channel)

    def _follow(self, child: "_Child") -> tuple[Ending, str | None]:
        """Watch over one executor until it has ended; return how, and why if it was killed."""
        why = None
        with selectors.DefaultSelector() as selector:
            selector.register(self._signals.reading, selectors.EVENT_READ)
            selector.register(child.channel, selectors.EVENT_READ)
            while True:
                selector.select(_TICK_SECONDS)
                for number in self._signals.to_pass_on():
                    self._stopping = True
                    child.signal(number)
                if not child.channel.ended:
                    child.listen()
                    if child.channel.ended:
                        selector.unregister(child.channel)
                if (ending := child.reap()) is not None:
                    return ending, why
                self._note(child)
                # One that is being killed takes a moment, in which it is not stopped any longer.
                if (why := why or child.hopeless()) is not None:
                    child.signal(signal.SIGKILL)

    def _note(self, child: "_Child") -> None:
        if child.worked is not None:
            self._worked = child.worked
        now = time.monotonic()
        if self._heartbeat is not None and now - self._noted >= _NOTE_SECONDS:
            self._noted = now
            # A full or lost file system makes the executor unhealthy, and does not end it.
            with contextlib.suppress(OSError):
                write_heartbeat(self._heartbeat, alive=now, worked=self._worked)

    @staticmethod
    def _end_what_is_left(seconds: float) -> None:
        """Give the executor's own children, this process's by now, some time, and kill them."""
        deadline = time.monotonic() + seconds
        while _reap_all() and time.monotonic() < deadline + _GRACE_SECONDS:
            hurried = time.monotonic() >= deadline
            for pid in _children():
                if hurried or is_stopped(pid):
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


class _Child:
    """One executor, as the process that watches over it sees it."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.channel = channel
        self.worked: float | None = None
        self._pid = pid
        self._heard = time.monotonic()
        self._patience = START_SECONDS
        self._stopped_since: float | None = None

    def listen(self) -> None:
        """Take in what the executor has said."""
        for message in self.channel.receive():
            self._heard = time.monotonic()
            self._patience = PATIENCE_SECONDS + message.get("seconds", 0.0)
            if message.get("works"):
                self.worked = self._heard

    def reap(self) -> Ending | None:
        """Return how the executor ended, None while it lives; see to what others have left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return Ending(None)  # nobody can tell any more
            if pid == 0:
                return None
            if pid == self._pid:
                return Ending(os.waitstatus_to_exitcode(status))

    def hopeless(self) -> str | None:
        """Return why the executor has to be killed; None if it works as far as is known."""
        now = time.monotonic()
        if not is_stopped(self._pid):
            self._stopped_since = None
        elif self._stopped_since is None:
            self._stopped_since = now
        elif now - self._stopped_since > PATIENCE_SECONDS:
            return f"had been stopped for {PATIENCE_SECONDS:.0f} s and was killed"
        if now - self._heard > self._patience:
            return f"had not answered for {self._patience:.0f} s and was killed"
        return None

    def signal(self, number: int) -> None:
        """Send the executor a signal; it is a child that has not been waited for."""
        os.kill(self._pid, number)


def _reap_all() -> bool:
    """Wait for all children that have ended; return whether there are others."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
        except ChildProcessError:
            return False


def _children() -> list[int]:
    """Return this process's children, orphans of the executor among them."""
    own = os.getpid()
    return [int(each) for each in Path(f"/proc/{own}/task/{own}/children").read_text().split()]
