"""Landlock: a wall that a process puts around itself and its children, without being root.

See https://docs.kernel.org/userspace-api/landlock.html. What can be forbidden depends on the
kernel's ABI: files (1), renames between directories (2), truncation (3), TCP ports (4), device
ioctls (5), signals and abstract Unix sockets (6).
"""

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fedstate.system import LINUX, system_call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = (1 << bit for bit in range(4))
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_FILES_BY_ABI = {1: (1 << 13) - 1, 2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEVICE}
# What a rule for something that is no directory may name.
_FOR_FILES = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPES = 1 << 0 | 1 << 1
PORTS_ABI, SCOPES_ABI = 4, 6

READ = EXECUTE | READ_FILE | READ_DIR


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("ports", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


class _PortRule(ctypes.Structure):
    _fields_ = (("access", ctypes.c_uint64), ("port", ctypes.c_uint64))


@functools.cache
def abi() -> int:
    """Return the version of Landlock that this kernel offers; 0 for none."""
    if not LINUX:
        return 0
    try:
        return system_call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:  # not built in, not enabled, or a container's filter forbids it
        return 0


class Domain:
    """A domain that is being built: what a process may still do once it is inside.

    Parameters
    ----------
    version : int
        The ABI to use, at most that of the kernel, and at least 1.
    """

    def __init__(self, version: int) -> None:
        self._version = version
        self._all_files = 0
        for number, rights in _FILES_BY_ABI.items():
            if number <= version:
                self._all_files |= rights
        scoped = _SCOPES if version >= SCOPES_ABI else 0
        self._rulesets = [_ruleset(self._all_files, 0, scoped)]

    def allow_reading(self, paths: Iterable[Path]) -> None:
        """Let files at and below these paths be read, listed and executed."""
        for path in paths:
            self._allow(path, READ)

    def allow_writing(self, paths: Iterable[Path]) -> None:
        """Let everything be done at and below these paths, but for making device files."""
        for path in paths:
            self._allow(path, self._all_files & ~(_MAKE_CHAR | _MAKE_BLOCK))

    def close_ports(self, ports: Iterable[int], taken: Iterable[int] = ()) -> None:
        """Forbid TCP connections to these ports; nothing where the ABI knows no ports.

        Parameters
        ----------
        ports : iterable of int
            The ports. It is forbidden to listen on them, too: whoever does so while a service
            starts again is there in its place, and the service cannot start.
        taken : iterable of int
            Ports to which connections may be made, and that may not be listened on either.
        """
        closed = set(ports)
        others = {*taken} - closed
        if self._version < PORTS_ABI or not closed | others:
            return
        # Landlock knows what is allowed alone: one rule for each port of the others. In a ruleset
        # of its own they are copied once, and not with every rule about files.
        ruleset = _ruleset(_REFER, _BIND_TCP | _CONNECT_TCP, 0)
        self._rulesets.append(ruleset)
        # Every ruleset forbids to rename from one directory to another, unless it allows it.
        self._allow(Path("/"), _REFER, ruleset)
        rule = _PortRule(_BIND_TCP | _CONNECT_TCP, 0)
        reference = ctypes.byref(rule)
        for port in range(1 << 16):
            if port not in closed:
                rule.access = _CONNECT_TCP if port in others else _BIND_TCP | _CONNECT_TCP
                rule.port = port
                _add(ruleset, _NET_PORT, reference)

    def enter(self) -> None:
        """Put this process inside; it needs PR_SET_NO_NEW_PRIVS. There is no way out.

        Raises
        ------
        OSError
            The kernel refused.
        """
        for ruleset in self._rulesets:
            system_call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
        self.close()

    def close(self) -> None:
        """Let go of what was built."""
        for ruleset in self._rulesets:
            os.close(ruleset)
        self._rulesets = []

    def _allow(self, path: Path, access: int, ruleset: int | None = None) -> None:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return  # what is not there, or out of reach, needs no rule
        try:
            access &= self._all_files if path.is_dir() else self._all_files & _FOR_FILES
            rule = ctypes.byref(_PathRule(access, descriptor))
            _add(self._rulesets[0] if ruleset is None else ruleset, _PATH_BENEATH, rule)
        finally:
            os.close(descriptor)


def all_but(start: Path, closed: Sequence[Path]) -> Iterator[Path]:
    """Yield paths that hold everything at and below `start` but what is closed.

    Landlock has rules for what is allowed only, so every directory on the way to a closed one is
    replaced by what is in it now. Symbolic links need no rule: what they lead to has one, or not.

    Parameters
    ----------
    start : Path
        A path without symbolic links.
    closed : sequence of Path
        Paths without symbolic links.
    """
    if any(start == each or start.is_relative_to(each) for each in closed):
        return
    below = [each for each in closed if each.is_relative_to(start)]
    if not below:
        yield start
        return
    entries: list[os.DirEntry[str]] = []
    with contextlib.suppress(OSError), os.scandir(start) as found:
        entries = list(found)
    for entry in entries:
        if not entry.is_symlink():
            yield from all_but(Path(entry.path), below)


def _ruleset(files: int, ports: int, scoped: int) -> int:
    attributes = _Attributes(files, ports, scoped)
    # An older kernel takes the longer structure, too, as long as what it does not know is 0.
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    return system_call(_CREATE_RULESET, ctypes.byref(attributes), size, ctypes.c_uint32(0))


def _add(ruleset: int, kind: int, rule: object) -> None:
    system_call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(kind), rule, ctypes.c_uint32(0))
