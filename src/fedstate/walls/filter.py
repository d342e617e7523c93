"""A filter of system calls: what passes the other walls, and what no app needs of the kernel.

Landlock knows the TCP connections of `connect` alone: Multipath TCP, SMC and TCP Fast Open reach
a closed port past it, and so does the machine below by other families of addresses. Beside those,
the filter refuses what Docker's own refuses: new users, mounts, keyrings and the like, each of
them more of the kernel that a hostile app could turn against it.
"""

import ctypes
import errno
import platform
from collections.abc import Iterable
from dataclasses import dataclass

from fedstate import system

_SET_SECCOMP, _MODE_FILTER = 22, 2
# Instructions of classic BPF, as seccomp takes them.
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_GREATER_EQUAL, _JUMP_IF_ANY, _RETURN = (
    0x20,
    0x15,
    0x35,
    0x45,
    0x06,
)
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000
# What `uname` calls a machine: how the kernel marks its calls, and which number of a pair is its.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

_LOCAL_FAMILIES, _INTERNET_FAMILIES = (1, 16), (2, 10)  # AF_UNIX, AF_NETLINK; AF_INET, AF_INET6
# The default, ICMP, TCP, UDP, ICMPv6; others, such as Multipath TCP and SMC, fall back to TCP.
_PROTOCOLS = (0, 1, 6, 17, 58)
_FAST_OPEN = 0x20000000
_NEW_USERS = 0x10000000
_TYPE_INTO_TERMINAL = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

# Their numbers on x86-64 and on 64-bit ARM.
_REFUSED = {
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "kcmp": (312, 272),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "fanotify_init": (300, 262),
    "move_pages": (279, 239),
}
# A library finds another way where the kernel does not have these.
_MISSING = {
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    # Its arguments are in memory, where no filter sees them; `clone` is there for the same.
    "io_uring_register": (427, 427),
    "clone3": (435, 435),
}
_SOCKET, _SOCKET_PAIR = (41, 198), (53, 199)
_SENDTO, _SENDMSG, _SENDMMSG = (44, 206), (46, 211), (307, 269)
_UNSHARE, _CLONE, _IOCTL, _PRLIMIT = (272, 97), (56, 220), (16, 29), (302, 261)


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


@dataclass(frozen=True)
class _Step:
    code: int
    operand: int
    if_true: int = 0
    if_false: int = 0


def offered() -> bool:
    """Return whether this module knows the machine's system calls."""
    return system.LINUX and platform.machine() in _MACHINES


def enter(*, own_user: bool) -> bool:
    """Put the filter around this process and its children, for good.

    It needs PR_SET_NO_NEW_PRIVS.

    Parameters
    ----------
    own_user : bool
        Whether the run has a user of its own, so that the kernel by itself keeps it from the
        limits of other processes.

    Returns
    -------
    bool
        False where the kernel, or what stands in for it, has no such filters.

    Raises
    ------
    OSError
        The kernel refused it.
    """
    if not offered():
        return False
    architecture, which = _MACHINES[platform.machine()]
    steps = list(_program(architecture, which, own_user=own_user))
    instructions = (_Instruction * len(steps))(
        *(_Instruction(each.code, each.if_true, each.if_false, each.operand) for each in steps)
    )
    program = _Program(len(steps), instructions)
    try:
        system.prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS):
            return False
        raise
    return True


def _program(architecture: int, which: int, *, own_user: bool) -> Iterable[_Step]:
    yield _Step(_LOAD, _ARCHITECTURE)
    yield _Step(_JUMP_IF_EQUAL, architecture, if_true=1)
    yield _refuse(errno.ENOSYS)  # another architecture's numbers mean other calls
    yield _Step(_LOAD, _NUMBER)
    yield _Step(_JUMP_IF_GREATER_EQUAL, _X32, if_false=1)
    yield _refuse(errno.ENOSYS)
    for calls, error in ((_REFUSED, errno.EPERM), (_MISSING, errno.ENOSYS)):
        for numbers in calls.values():
            yield from _call(numbers[which], [_refuse(error)])
    for numbers in (_SOCKET, _SOCKET_PAIR):
        yield from _call(numbers[which], _of_sockets())
    for numbers, place in ((_SENDTO, 3), (_SENDMSG, 2), (_SENDMMSG, 3)):
        yield from _call(numbers[which], _flag(place, _FAST_OPEN, errno.EOPNOTSUPP))
    for numbers in (_UNSHARE, _CLONE):
        yield from _call(numbers[which], _flag(0, _NEW_USERS, errno.EPERM))
    yield from _call(_IOCTL[which], _of_terminals())
    if not own_user:
        yield from _call(_PRLIMIT[which], _of_limits())
    yield _Step(_RETURN, _ALLOW)


def _call(number: int, steps: list[_Step]) -> Iterable[_Step]:
    """Yield what is done with one call, whose number is loaded; the steps end by returning."""
    yield _Step(_JUMP_IF_EQUAL, number, if_false=len(steps))
    yield from steps


def _of_sockets() -> list[_Step]:
    known = len(_PROTOCOLS)
    by_protocol = [
        _argument(2),
        *(
            _Step(_JUMP_IF_EQUAL, protocol, if_true=known - place)
            for place, protocol in enumerate(_PROTOCOLS)
        ),
        _refuse(errno.EPROTONOSUPPORT),
        _Step(_RETURN, _ALLOW),
    ]
    families = (*_INTERNET_FAMILIES, *_LOCAL_FAMILIES)
    allow = len(by_protocol) - 1
    steps = [_argument(0)]
    for place, family in enumerate(families, start=1):
        # Over the other families, and what refuses those that are none of them.
        there = len(families) - place + 1
        steps.append(
            _Step(
                _JUMP_IF_EQUAL,
                family,
                if_true=there if family in _INTERNET_FAMILIES else there + allow,
            )
        )
    return [*steps, _refuse(errno.EAFNOSUPPORT), *by_protocol]


def _of_terminals() -> list[_Step]:
    first, second = _TYPE_INTO_TERMINAL
    return [
        _argument(1),
        _Step(_JUMP_IF_EQUAL, first, if_true=1),
        _Step(_JUMP_IF_EQUAL, second, if_false=1),
        _refuse(errno.EPERM),
        _Step(_RETURN, _ALLOW),
    ]


def _of_limits() -> list[_Step]:
    """Return steps that let limits be read, and a process set its own by the number 0."""
    return [
        _argument(0),
        _Step(_JUMP_IF_EQUAL, 0, if_true=4),
        _argument(2),  # a pointer, whose halves are both 0 where nothing is set
        _Step(_JUMP_IF_EQUAL, 0, if_false=3),
        _Step(_LOAD, _ARGUMENTS + 2 * 8 + 4),
        _Step(_JUMP_IF_EQUAL, 0, if_false=1),
        _Step(_RETURN, _ALLOW),
        _refuse(errno.EPERM),
    ]


def _flag(place: int, flag: int, error: int) -> list[_Step]:
    return [
        _argument(place),
        _Step(_JUMP_IF_ANY, flag, if_false=1),
        _refuse(error),
        _Step(_RETURN, _ALLOW),
    ]


def _argument(place: int) -> _Step:
    """Return a step that loads the lower half of an argument, on a little-endian machine."""
    return _Step(_LOAD, _ARGUMENTS + 8 * place)


def _refuse(error: int) -> _Step:
    return _Step(_RETURN, _ERROR | error)
