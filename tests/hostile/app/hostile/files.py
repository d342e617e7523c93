"""Probes of files: those of the services, of other runs, and of what Python loads."""

import contextlib
import os
import shutil
import site
import stat
import struct
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .kernel import call, libc
from .registry import Attempts, Denied, Hints, probe

_NOWHERE = "EACCES EPERM ENOENT ENOTDIR EROFS"
ALL = "root landlock containers"


def read(path: str) -> str:
    """Prove that a file can be read."""
    with Path(path).open("rb", buffering=0) as file:
        return f"{len(file.read(64))} bytes"


def writable(path: str) -> str:
    """Prove that a file can be written, and do not."""
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
    return "opened for writing"


def creatable(directory: str) -> str:
    """Prove that a file can be made in a directory, and take it away."""
    made = Path(directory) / f"hostile-{uuid.uuid4().hex[:8]}.txt"
    os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    made.unlink()
    return f"made {made}"


def victims(hints: Hints) -> Iterator[tuple[str, str]]:
    """Yield the files of the victim, each with what it is."""
    for name, path in hints.victim.get("files", {}).items():
        yield name, path
    for name in ("victim app", "victim records"):
        if directory := hints.directories.get(name):
            yield name, f"{directory}/{hints.victim.get('app file', 'client_app.py')}"


def _each(names: str, action: Callable[[str], Any]) -> Callable[[Hints, Attempts], None]:
    def tried(hints: Hints, attempts: Attempts) -> None:
        for name in names.split(","):
            if path := hints.files.get(name):
                attempts.of(name, lambda path=path: action(path))

    return tried


@probe(_NOWHERE, before=ALL)
def read_the_executors_secret(hints: Hints, attempts: Attempts) -> None:
    """Read the secret with which any task can be claimed."""
    _each("executor secret,other executor's secret", read)(hints, attempts)


@probe(_NOWHERE, before="root landlock")
def read_the_node_keys(hints: Hints, attempts: Attempts) -> None:
    """Read the keys with which a node authenticates itself and serves TLS."""
    _each("node key,server key,other node's key", read)(hints, attempts)


@probe(_NOWHERE, before="root landlock")
def read_the_authoritys_key(hints: Hints, attempts: Attempts) -> None:
    """Read the key that signs certificates for whole federations."""
    _each("authority key", read)(hints, attempts)


@probe(_NOWHERE, before="root landlock")
def read_the_databases(hints: Hints, attempts: Attempts) -> None:
    """Read the SuperLink's database and the SuperNode's store, where every run's state is."""
    _each("node store,superlink database", read)(hints, attempts)


@probe(_NOWHERE, before="root landlock")
def write_into_the_services_files(hints: Hints, attempts: Attempts) -> None:
    """Open databases, keys and logs for writing: forge what is kept of other runs."""
    _each("node store,superlink database,node key,authority key,executor log", writable)(
        hints, attempts
    )


@probe(_NOWHERE, before="root landlock")
def make_files_beside_the_services(hints: Hints, attempts: Attempts) -> None:
    """Make a file in the directories of the services and of the other executor."""
    for name in ("executor", "node", "superlink", "authority", "runs"):
        if path := hints.directories.get(name):
            attempts.of(name, lambda path=path: creatable(path))


@probe(_NOWHERE, before=ALL)
def read_the_victims_files(hints: Hints, attempts: Attempts) -> None:
    """Read what another run keeps in its temporary directory, and its code."""
    for name, path in victims(hints):
        attempts.of(name, lambda path=path: read(path))


@probe(_NOWHERE, before=ALL)
def write_the_victims_files(hints: Hints, attempts: Attempts) -> None:
    """Open another run's files for writing, its installed code among them."""
    for name, path in victims(hints):
        attempts.of(name, lambda path=path: writable(path))


@probe(_NOWHERE, before=ALL)
def list_the_victims_directories(hints: Hints, attempts: Attempts) -> None:
    """List the directories of other runs, to find out what there is."""
    for name in ("rooms", "victim room", "victim tmp", "victim app", "victim records", "runs"):
        if path := hints.directories.get(name):
            attempts.of(name, lambda path=path: sorted(os.listdir(path))[:3])  # noqa: PTH208


@probe(_NOWHERE, before=ALL)
def put_code_beside_the_victims(hints: Hints, attempts: Attempts) -> None:
    """Make a new module in the victim's app, where its next process would import it."""
    for name in ("victim app", "victim room", "victim tmp"):
        if path := hints.directories.get(name):
            attempts.of(name, lambda path=path: creatable(path))


@probe(_NOWHERE, before=ALL)
def swap_the_victims_app_for_a_link(hints: Hints, attempts: Attempts) -> None:
    """Rename the victim's app and put a symbolic link to its own code in its place."""
    app = hints.directories.get("victim app")
    if not app:
        return

    def swap() -> str:
        aside = f"{app}.aside"
        os.rename(app, aside)  # noqa: PTH104
        try:
            Path(app).symlink_to(tempfile.gettempdir())
            Path(app).unlink()
        finally:
            os.rename(aside, app)  # noqa: PTH104
        return "renamed, linked and put back"

    attempts.of("victim app", swap)


@probe(f"{_NOWHERE} EXDEV", before=ALL)
def hard_link_the_victims_files(hints: Hints, attempts: Attempts) -> None:
    """Give another run's files, and the secret, a second name in its own directory."""
    for name, path in [*victims(hints), *hints.files.items()]:

        def link(path: str = path) -> str:
            mine = Path(tempfile.gettempdir()) / f"link-{uuid.uuid4().hex[:8]}"
            os.link(path, mine)
            mine.unlink()
            return "linked"

        attempts.of(name, link)


@probe(f"{_NOWHERE} EINVAL ESTALE EOPNOTSUPP", before="root")
def open_files_by_their_handle(hints: Hints, attempts: Attempts) -> None:
    """Open the secret by its inode, past every directory on the way (open_by_handle_at)."""
    for name, path in hints.files.items():

        def opened(path: str = path) -> str:
            import ctypes

            handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128))
            mount = ctypes.c_int()
            known = ctypes.c_char_p(path.encode())
            with contextlib.suppress(
                OSError
            ):  # a path that cannot be looked up: guess the root's
                call("name_to_handle_at", -100, known, handle, ctypes.byref(mount), 0)
            root = os.open("/", os.O_RDONLY)
            descriptor = call("open_by_handle_at", root, handle, os.O_RDONLY)
            return f"{len(os.read(descriptor, 64))} bytes"

        attempts.of(name, opened)


@probe(f"{_NOWHERE} ESRCH", before=ALL)
def go_through_the_root_of_a_process(hints: Hints, attempts: Attempts) -> None:
    """Use /proc/PID/root and /proc/PID/cwd of other processes as a way round."""
    for name, pid in hints.processes.items():
        attempts.of(f"root of {name}", lambda pid=pid: os.listdir(f"/proc/{pid}/root/"))  # noqa: PTH208
        attempts.of(f"cwd of {name}", lambda pid=pid: os.listdir(f"/proc/{pid}/cwd/"))  # noqa: PTH208


@probe(_NOWHERE, before="root landlock containers")
def poison_the_settings_of_keras(hints: Hints, attempts: Attempts) -> None:
    """Write keras.json, which names the backend, for whoever imports Keras after it."""
    homes = [hints.directories.get("executor home"), hints.directories.get("victim home")]
    for home in filter(None, homes):
        keras = f"{home}/.keras"
        attempts.of(keras, lambda keras=keras, home=home: _made_in(keras, home))


@probe(_NOWHERE, before="root landlock containers")
def poison_the_users_site(hints: Hints, attempts: Attempts) -> None:
    """Write usercustomize.py where the executor's next Python would run it."""
    home = hints.directories.get("executor home")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if home:
        user_site = f"{home}/.local/lib/{version}/site-packages"
        attempts.of(user_site, lambda: _made_in(user_site, home))


@probe(_NOWHERE, before="root")
def poison_the_environment_of_python(hints: Hints, attempts: Attempts) -> None:
    """Write sitecustomize.py or a .pth into site-packages and the standard library."""
    for directory in [*site.getsitepackages(), os.path.dirname(os.__file__), sys.prefix]:  # noqa: PTH120
        attempts.of(directory, lambda directory=directory: creatable(directory))


@probe(_NOWHERE, before="root")
def poison_compiled_modules(hints: Hints, attempts: Attempts) -> None:
    """Write into __pycache__, whose contents are run in place of the sources."""
    import fedstate

    for module in (fedstate, os, tempfile):
        cache = Path(str(module.__file__)).parent / "__pycache__"
        attempts.of(str(cache), lambda cache=cache: creatable(str(cache)))


@probe(_NOWHERE, before="root landlock containers")
def poison_start_up_files(hints: Hints, attempts: Attempts) -> None:
    """Write .bashrc, .profile, .pythonrc and the like of whoever runs the executor."""
    home = hints.directories.get("executor home")
    if home:
        for name in ("", "/.config", "/.ssh", "/.config/matplotlib", "/.ipython"):
            attempts.of(home + name, lambda name=name: _made_in(home + name, home))


@probe(_NOWHERE, before="root landlock containers")
def poison_the_caches_of_packages(hints: Hints, attempts: Attempts) -> None:
    """Write into the caches of uv, pip and Hugging Face, from which others install and load."""
    home = hints.directories.get("executor home")
    if home:
        for name in ("uv", "pip", "huggingface", "torch", "matplotlib"):
            cache = f"{home}/.cache/{name}"
            attempts.of(cache, lambda cache=cache: _made_in(cache, home))


@probe(_NOWHERE, before="root landlock containers")
def take_the_place_of_the_next_run(hints: Hints, attempts: Attempts) -> None:
    """Make the directory of a run that comes later, or a link in its place (squatting)."""
    for name in ("rooms", "executor apps", "runs"):
        if parent := hints.directories.get(name):

            def squat(parent: str = parent) -> str:
                place = Path(parent) / f"{uuid.uuid4().int >> 66}"
                place.symlink_to("/tmp")  # noqa: S108
                place.unlink()
                return "linked"

            attempts.of(name, squat)


@probe(_NOWHERE, before="root landlock containers")
def make_files_in_shared_places(hints: Hints, attempts: Attempts) -> None:
    """Make files in /tmp and /var/tmp, where names of other programs can be guessed."""
    for place in ("/tmp", "/var/tmp", "/run", "/run/lock", "/var/lib", "/mnt"):  # noqa: S108
        attempts.of(place, lambda place=place: creatable(place))


@probe(_NOWHERE, before="root landlock containers")
def change_modes_of_the_victims_files(hints: Hints, attempts: Attempts) -> None:
    """Set the mode and the times of another run's files to what they are: it could be others."""
    for name, path in victims(hints):

        def change(path: str = path) -> str:
            status = os.stat(path)  # noqa: PTH116
            os.chmod(path, stat.S_IMODE(status.st_mode))  # noqa: PTH101
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            return "changed"

        attempts.of(name, change)


def _is_in_place_of_another(path: str) -> bool:
    """Whether a directory is a run's own one, or in it: on the way to its server's socket."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    above = [each for each in mounts if Path(path).is_relative_to(each[4])]
    nearest = max(above, key=lambda each: len(Path(each[4]).parts))
    kind, _, options = nearest[nearest.index("-") + 1 :][:3]
    return kind == "tmpfs" and "size=1024k" in options.split(",")


@probe(f"{_NOWHERE} a_directory_of_its_own", before="root landlock containers")
def watch_the_victims_directories(hints: Hints, attempts: Attempts) -> None:
    """Watch another run's directories by inotify: which files it opens, and when."""
    for name, path in hints.directories.items():

        def watch(path: str = path) -> str:
            inotify = libc("inotify_init1", 0)
            try:
                watched = libc("inotify_add_watch", inotify, path.encode(), 0x20)
            finally:
                os.close(inotify)
            if hints.mode == "landlock" and _is_in_place_of_another(path):
                raise Denied("a directory of its own, in place of the other")
            return f"watch {watched}"

        # Which runs there are is no secret: the directory of their records may be passed.
        if name not in ("executor home", "runs"):
            attempts.of(name, watch)


@probe(f"{_NOWHERE} ENOSYS EINVAL", before="root")
def watch_the_whole_file_system(hints: Hints, attempts: Attempts) -> None:
    """Watch every file of the machine by fanotify."""
    attempts.of("fanotify", lambda: call("fanotify_init", 0, 0))


@probe(_NOWHERE, before="root landlock containers")
def delete_the_victims_files(hints: Hints, attempts: Attempts) -> None:
    """Remove another run's files and directories, without breaking them where it can be done."""
    for name, path in victims(hints):

        def removable(path: str = path) -> str:
            # Renamed and put back: who may rename a file may remove it.
            os.rename(path, path + ".x")  # noqa: PTH104
            os.rename(path + ".x", path)  # noqa: PTH104
            return "could be removed"

        attempts.of(name, removable)


def _made_in(directory: str, home: str) -> str:
    """Prove that a file can be made in a directory that may have to be made first."""
    below = Path(directory)
    if below.exists():
        return creatable(directory)
    first = below
    while not first.parent.exists() and str(first.parent) != home:
        first = first.parent
    below.mkdir(parents=True)
    try:
        return creatable(directory)
    finally:
        shutil.rmtree(first)
