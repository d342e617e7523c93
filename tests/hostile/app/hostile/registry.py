"""What a probe is, and running probes: each in a fork, within seconds, with a report.

A probe makes attempts. One that comes to something got *through*; any other was *denied*, by the
name of the kernel's error or by a sentence.
"""

import errno
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

MODES = ("containers", "root", "landlock")
SECONDS = 10.0


class Denied(Exception):  # noqa: N818  what happened to it
    """An attempt came to nothing, for a reason that is no error of the kernel."""


@dataclass
class Hints:
    """What an attacker may know at best: the test tells it, so that no probe fails to find it."""

    mode: str
    side: str
    processes: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    directories: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    victim: dict[str, Any] = field(default_factory=dict)
    tag: str = ""
    marker: str = ""


@dataclass
class Attempts:
    """The attempts of one probe, and what became of them."""

    through: list[str] = field(default_factory=list)
    denied: dict[str, int] = field(default_factory=dict)

    def of(self, what: str, attempt: Callable[..., Any]) -> None:
        """Make an attempt; what it returns is the proof that it got through."""
        try:
            proof = attempt()
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, type(error).__name__)
            self.denied[name] = self.denied.get(name, 0) + 1
        except Denied as reason:
            self.denied[str(reason)] = self.denied.get(str(reason), 0) + 1
        else:
            self.through.append(f"{what}: {str(proof)[:80]}")


Function = Callable[[Hints, Attempts], None]


@dataclass(frozen=True)
class Probe:
    """One attack.

    Attributes
    ----------
    function
        Makes the attempts.
    by
        What may deny it: names of errors, or the beginning of a sentence.
    before
        Where it got through before runs had rooms; found by running it on plain processes.
    sides
        Whose task makes it: a ClientApp's, a ServerApp's.
    modes
        Where there is something to attack.
    still_open
        Where it still gets through, and the threat model says so.
    """

    function: Function
    by: frozenset[str]
    before: frozenset[str]
    sides: tuple[str, ...]
    modes: tuple[str, ...]
    still_open: frozenset[str]

    @property
    def name(self) -> str:
        """What tests and the threat model call it."""
        return self.function.__name__.replace("_", "-")


PROBES: dict[str, Probe] = {}


def probe(
    by: str,
    *,
    before: str = "",
    sides: str = "client server",
    modes: str = " ".join(MODES),
    still_open: str = "",
) -> Callable[[Function], Function]:
    """Register a probe; every argument is a list of words."""

    def register(function: Function) -> Function:
        denials = frozenset(word.replace("_", " ") for word in by.split())
        made = Probe(
            function,
            denials,
            frozenset(before.split()),
            tuple(sides.split()),
            tuple(modes.split()),
            frozenset(still_open.split()),
        )
        PROBES[made.name] = made
        return function

    return register


def run_probes(hints: Hints, names: list[str]) -> Iterator[dict[str, Any]]:
    """Run probes, each in a fork of this process; yield a report of each."""
    for name in names:
        began = time.monotonic()
        attempts = _in_a_fork(PROBES[name], hints)
        yield {
            "name": name,
            "side": hints.side,
            "through": attempts.through[:5],
            "denied": attempts.denied,
            "seconds": round(time.monotonic() - began, 2),
        }


def _in_a_fork(each: Probe, hints: Hints) -> Attempts:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        attempts = Attempts()
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.close(reading)
            each.function(hints, attempts)
        except BaseException as error:
            what = f"raised {type(error).__name__}: {error}"[:200]
            attempts.denied[what] = 1
        finally:
            os.write(writing, json.dumps([attempts.through[:5], attempts.denied]).encode())
            os._exit(0)
    os.close(writing)
    text = b""
    until = time.monotonic() + SECONDS
    while select.select([reading], [], [], max(0.0, until - time.monotonic()))[0]:
        if not (more := os.read(reading, 65536)):
            break
        text += more
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not text:
        return Attempts(denied={f"no report: ended with {os.waitstatus_to_exitcode(status)}": 1})
    through, denied = json.loads(text)
    return Attempts(through, denied)
