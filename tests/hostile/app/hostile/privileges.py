"""Probes that try to become somebody else, or more than it is."""

import contextlib
import ctypes
import os
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
from pathlib import Path

from .kernel import PR_CAP_AMBIENT, call, libc
from .memory import ALL
from .registry import Attempts, Denied, Hints, probe

_NO = "EPERM EACCES EINVAL ENOSYS"
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000
# Writing one of these makes the kernel run a program, or takes the machine down.
_LEVERS = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/yama/ptrace_scope",
    "/proc/sys/fs/protected_hardlinks",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/release_agent",
    "/sys/kernel/mm/transparent_hugepage/enabled",
)


@probe("nothing_left", before="root landlock")
def keep_rights_of_its_own(hints: Hints, attempts: Attempts) -> None:
    """Look for rights in its own process: capabilities, groups, and new ones by a program."""
    text = Path("/proc/self/status").read_text()
    status = {name: value.split() for name, value in _fields(text)}
    nothing = {name: ["0" * 16] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    expected = {**nothing, "NoNewPrivs": ["1"], "Groups": []}
    for name, value in expected.items():

        def left(name: str = name, value: list[str] = value) -> str:
            groups = set(status.get(name, [])) - set(status["Gid"])
            given = sorted(groups) if name == "Groups" else status[name]
            if given == value:
                raise Denied("nothing left")
            return f"{name} {' '.join(given)}"

        attempts.of(name, left)


def _fields(text: str) -> list[tuple[str, str]]:
    return [
        (name, value) for name, _, value in (line.partition(":\t") for line in text.splitlines())
    ]


@probe("another_user not_without_root", before=ALL, modes="root containers")
def be_the_executors_user(hints: Hints, attempts: Attempts) -> None:
    """Run as the user of the executor or of another run."""
    mine = os.stat("/proc/self").st_uid  # noqa: PTH116
    for name, pid in hints.processes.items():

        def same(pid: int = pid) -> str:
            try:
                theirs = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116
            except OSError:
                raise Denied("another user") from None
            # A process that is not dumpable belongs to root in /proc.
            if theirs != mine:
                raise Denied("another user")
            return f"both are {mine}"

        attempts.of(name, same)


@probe(_NO, before="root")
def regain_capabilities(hints: Hints, attempts: Attempts) -> None:
    """Ask for all capabilities again, for itself and for the programs that it executes."""
    header = struct.pack("=Ii", 0x20080522, 0)
    every = struct.pack("=6I", *([0x3F] * 6))
    attempts.of("capset", lambda: call("capset", header, every))
    for right in (0, 1, 5, 6, 7, 19, 21):  # CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID, ...
        attempts.of(
            f"ambient {right}", lambda right=right: libc("prctl", PR_CAP_AMBIENT, 2, right, 0, 0)
        )


@probe(_NO, before="root")
def become_another_user(hints: Hints, attempts: Attempts) -> None:
    """Become root, the executor's user or the victim's by setuid and its kind."""
    if (user := os.getuid()) == 0:
        attempts.of("another user", lambda: os.setresuid(1, 1, 1))
        return
    for other in {0, *(int(each) for each in hints.victim.get("users", []))} - {user}:
        attempts.of(f"setresuid {other}", lambda other=other: os.setresuid(other, other, other))
        attempts.of(f"setresgid {other}", lambda other=other: os.setresgid(other, other, other))
        attempts.of(f"setgroups {other}", lambda other=other: os.setgroups([other]))


@probe(f"{_NO} still_nobody ENOENT refused", before="root")
def become_root_by_a_program(hints: Hints, attempts: Attempts) -> None:
    """Execute su, sudo and every other program that runs as root, and a copy of its own."""
    for command in (
        ["su", "-c", "id -u"],
        ["sudo", "-n", "id", "-u"],
        ["setpriv", "--reuid", "1", "id", "-u"],
        ["pkexec", "id", "-u"],
        ["newgrp", "root", "-c", "id -g"],
    ):
        attempts.of(command[0], lambda command=command: _ran(command))

    def own() -> str:
        mine = Path(tempfile.gettempdir()) / "hostile-id"
        shutil.copy(shutil.which("id") or "/usr/bin/id", mine)
        with contextlib.suppress(OSError):
            os.chown(mine, 0, 0)
        mine.chmod(0o6755)
        try:
            return _ran([str(mine), "-u"])
        finally:
            mine.unlink()

    attempts.of("own", own)


def _ran(command: list[str]) -> str:
    answer = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5, check=False
    )
    who = answer.stdout.strip()
    if answer.returncode != 0:
        raise Denied("refused")
    if who == str(os.getuid()) and os.getuid() != 0:
        raise Denied("still nobody")
    return f"{command[0]} ran as {who}"


@probe(f"{_NO} ENOENT ENODEV EBUSY EROFS", before="root")
def mount_something(hints: Hints, attempts: Attempts) -> None:
    """Mount a file system over others' files, take one away, or change the root directory."""
    here = tempfile.mkdtemp()

    def mount() -> str:
        libc("mount", b"none", here.encode(), b"tmpfs", 0, None)
        libc("umount2", here.encode(), 2)
        return "mounted"

    def bind() -> str:
        libc("mount", b"/", here.encode(), None, 4096, None)
        libc("umount2", here.encode(), 2)
        return "mounted"

    attempts.of("tmpfs", mount)
    attempts.of("bind", bind)
    attempts.of("pivot_root", lambda: call("pivot_root", here.encode(), here.encode()))
    attempts.of("umount", lambda: libc("umount2", here.encode(), 2))
    attempts.of("chroot", lambda: os.chroot("/"))
    os.rmdir(here)  # noqa: PTH106


@probe(f"{_NO} ENOSPC ENOENT EROFS EUSERS", before="root landlock")
def leave_by_a_user_namespace(hints: Hints, attempts: Attempts) -> None:
    """Make a user namespace, be root in it, and from there reach what it could not before."""
    secret = hints.files.get("executor secret")

    def reached() -> str:
        libc("unshare", _NEW_USER | _NEW_MOUNTS)
        here = tempfile.mkdtemp()
        libc("mount", b"/", here.encode(), None, 4096 | 16384, None)
        return f"mounted; {os.listdir(here)[:3]}"  # noqa: PTH208

    def read() -> str:
        libc("unshare", _NEW_USER)
        if not secret:
            raise Denied("ENOENT")
        return Path(secret).read_text()[:4]

    attempts.of("mount", lambda: _in_a_child(reached))
    attempts.of("secret", lambda: _in_a_child(read))


def _in_a_child(what: object) -> str:
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writing, b"+" + str(what()).encode())  # type: ignore[operator]
        except OSError as error:
            os.write(writing, str(error.errno).encode())
        except Denied:
            os.write(writing, b"1")
        finally:
            os._exit(0)
    os.close(writing)
    os.wait()
    answer = os.read(reading, 4096).decode()
    os.close(reading)
    if answer.startswith("+"):
        return answer[1:]
    raise OSError(int(answer or 1), "denied in the child")


@probe("EACCES EPERM ENOENT EROFS EINVAL", before="root")
def pull_a_lever_of_the_kernel(hints: Hints, attempts: Attempts) -> None:
    """Open files of /proc/sys and /sys for writing, by which root runs programs as root."""
    for path in _LEVERS:
        attempts.of(path, lambda path=path: os.close(os.open(path, os.O_WRONLY)))


@probe("EACCES EPERM ENOENT ENXIO EROFS ENODEV", before="root")
def open_devices(hints: Hints, attempts: Attempts) -> None:
    """Open memory, disks and the kernel's log as devices, and make one of its own."""
    for name in ("mem", "kmem", "port", "vda", "sda", "nvme0n1", "kmsg", "fuse", "kvm", "loop0"):
        path = f"/dev/{name}"
        attempts.of(path, lambda path=path: os.close(os.open(path, os.O_RDONLY)))

    def made() -> str:
        place = Path(tempfile.gettempdir()) / "hostile-device"
        os.mknod(place, 0o600 | stat.S_IFBLK, os.makedev(8, 0))
        place.unlink()
        return "made"

    attempts.of("mknod", made)


@probe("EACCES EPERM ENOENT ENXIO EIO ENODEV", before="root landlock")
def open_terminals(hints: Hints, attempts: Attempts) -> None:
    """Open the terminals of others, to read what is typed there and to write what is shown."""
    found = {str(each) for each in Path("/dev/pts").glob("[0-9]*")} | {"/dev/tty", "/dev/console"}
    if terminal := hints.victim["belongings"].get("terminal"):
        found.add(terminal)
    for path in sorted(found):
        attempts.of(path, lambda path=path: os.close(os.open(path, os.O_RDWR | os.O_NOCTTY)))


@probe(f"{_NO} EFAULT_ ENOENT", before="root")
def call_what_root_calls(hints: Hints, attempts: Attempts) -> None:
    """Make the system calls that change the machine, with arguments that change nothing."""
    name = socket.gethostname().encode()
    nothing = ctypes.c_char_p(None)
    for what, attempt in {
        "sethostname": lambda: libc("sethostname", name, len(name)),
        "init_module": lambda: _allowed("init_module", nothing, 0, b""),
        "kexec_load": lambda: call("kexec_load", 0, 0, nothing, 0),
        "swapon": lambda: _allowed("swapon", b"/nonexistent", 0),
        "syslog": lambda: call("syslog", 10, nothing, 0) and call("syslog", 3, bytes(64), 64),
    }.items():
        attempts.of(what, attempt)


def _allowed(name: str, *arguments: object) -> str:
    """Tell apart a call that is refused from one that only has nothing to work on."""
    try:
        return str(call(name, *arguments))
    except OSError as error:
        if error.errno in (1, 13, 38):
            raise
        return f"allowed ({error})"


@probe("EPERM EACCES ENOSYS EINVAL ENOENT", before="root")
def look_into_the_kernel(hints: Hints, attempts: Attempts) -> None:
    """Load a program into the kernel, or count events of other processes and of the machine."""
    attributes = struct.pack("=4I", 2, 4, 4, 1) + bytes(56)
    attempts.of("bpf", lambda: os.close(call("bpf", 0, attributes, len(attributes))))
    event = struct.pack("=IIQ", 1, 112, 0) + bytes(96)
    everybody = (-1, 0, -1, 0)
    attempts.of("machine", lambda: os.close(call("perf_event_open", event, *everybody)))
    for name, pid in hints.processes.items():
        attempts.of(
            name, lambda pid=pid: os.close(call("perf_event_open", event, pid, -1, -1, 0))
        )


@probe("EPERM ENOSYS EACCES", before="root landlock")
def go_round_by_io_uring(hints: Hints, attempts: Attempts) -> None:
    """Set up io_uring, whose operations no filter of system calls sees."""
    parameters = ctypes.create_string_buffer(120)
    attempts.of("io_uring", lambda: os.close(call("io_uring_setup", 4, parameters)))


@probe("EACCES EPERM ENOENT refused EROFS", before="root")
def come_back_at_a_set_time(hints: Hints, attempts: Attempts) -> None:
    """Have cron, at or systemd start something after the run has ended."""
    for place in (
        "/var/spool/cron",
        "/var/spool/cron/crontabs",
        "/etc/cron.d",
        "/etc",
        "/var/spool/at",
    ):

        def made(place: str = place) -> str:
            file = Path(place) / "hostile-probe"
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            file.unlink()
            return "made"

        attempts.of(place, made)
    for command in (["at", "-l"], ["systemd-run", "--user", "true"], ["crontab", "-l"]):
        attempts.of(command[0], lambda command=command: _ran_at_all(command))


def _ran_at_all(command: list[str]) -> str:
    answer = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5, check=False
    )
    if answer.returncode != 0:
        raise Denied("refused")
    return f"{command[0]} answers"
