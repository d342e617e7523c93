"""System calls that Python does not offer, by number; errors as `OSError`."""

import ctypes
import os
import platform
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
_ARM = platform.machine() in ("aarch64", "arm64")
# Their numbers on x86-64 and on 64-bit ARM.
_NUMBERS = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "capset": (126, 91),
    "clone": (56, 220),
    "fanotify_init": (300, 262),
    "get_robust_list": (274, 100),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "userfaultfd": (323, 282),
}

PR_SET_NAME, PR_CAP_AMBIENT, PR_SET_DUMPABLE = 15, 47, 4


class Vector(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def checked(result: int) -> int:
    """Return what a function of the C library returned, or raise its error."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(name: str, *arguments: Any) -> int:
    """Make a system call."""
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    LIBC.syscall.restype = ctypes.c_long
    return int(checked(LIBC.syscall(ctypes.c_long(_NUMBERS[name][_ARM]), *given)))


def libc(name: str, *arguments: Any) -> int:
    """Call a function of the C library that returns -1 for an error."""
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    function = getattr(LIBC, name)
    return int(checked(function(*given)))
