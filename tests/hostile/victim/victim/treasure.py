"""Everything that one process could share with others, so that it can be attacked there.

Where it all is goes into a memory file of this process, which only root and the process itself
can read.
"""

import ctypes
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_NAME = 15
_ADD_KEY = {"x86_64": 248}.get(os.uname().machine, 217)


def call_itself(name: str) -> None:
    """Give this process a name that `ps` shows."""
    _LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


class Treasure:
    """What this process has to lose; gone with `remove`."""

    def __init__(self, name: str, secret: str) -> None:
        self._name = name
        self._removals: list[Callable[..., object]] = []
        self._buffer = ctypes.create_string_buffer(secret.encode())
        os.environ["VICTIM_SECRET"] = secret
        self._known: dict[str, Any] = {
            "secret": secret,
            "address": ctypes.addressof(self._buffer),
            "pid": os.getpid(),
            "files": {},
            "home": os.environ.get("HOME", ""),
            "flwr": os.environ.get("FLWR_HOME", ""),
            "tmp": tempfile.gettempdir(),
            "cwd": os.getcwd(),  # noqa: PTH109
            "app": str(Path(__file__).parent),
        }
        for each in (
            self._files,
            self._system_v,
            self._posix,
            self._sockets,
            self._keys,
            self._child,
        ):
            try:
                each()
            except OSError as error:
                self._known[f"without {each.__name__}"] = str(error)
        self._descriptor = os.memfd_create("treasure")
        os.write(self._descriptor, json.dumps(self._known).encode())

    def remove(self) -> bool:
        """Take it all away; return whether the secret is still what it was."""
        for removal in self._removals:
            try:
                removal()
            except OSError:
                continue
        os.close(self._descriptor)
        return bool(self._buffer.value.decode() == self._known["secret"])

    def _files(self) -> None:
        path = Path(tempfile.gettempdir()) / f"victim-{self._name}.txt"
        path.write_text(self._known["secret"])
        self._known["files"]["temporary file"] = str(path)
        self._removals.append(path.unlink)

    def _system_v(self) -> None:
        key = random.SystemRandom().randrange(1, 2**31)
        self._known["key"] = key
        create = 0o1600
        for kind, identifier, control in (
            ("shm", _LIBC.shmget(key, 4096, create), _LIBC.shmctl),
            ("sem", _LIBC.semget(key, 1, create), lambda each, *_: _LIBC.semctl(each, 0, 0)),
            ("msg", _LIBC.msgget(key, create), _LIBC.msgctl),
        ):
            if identifier != -1:
                self._known[kind] = [identifier]
                self._removals.append(
                    lambda identifier=identifier, control=control: control(identifier, 0, None)
                )

    def _posix(self) -> None:
        name = f"victim-{self._name}"
        shared = Path("/dev/shm", name)  # noqa: S108
        shared.touch(0o600)
        shared.write_text(self._known["secret"])
        self._known["posix shm"] = name
        self._removals.append(shared.unlink)
        queue = f"/{name}"
        if _LIBC.mq_open(queue.encode(), os.O_CREAT | os.O_RDWR, 0o600, None) != -1:
            self._known["mq"] = queue
            self._removals.append(lambda: _LIBC.mq_unlink(queue.encode()))

    def _sockets(self) -> None:
        abstract = f"victim-{self._name}"
        path = str(Path(tempfile.gettempdir()) / f"{self._name}.sock")
        for kind, address in (("abstract", "\0" + abstract), ("socket", path)):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(address)
            listener.listen()
            threading.Thread(target=self._serve, args=(listener,), daemon=True).start()
            self._known[kind] = address.strip("\0")
            self._removals.append(listener.close)
        self._removals.append(Path(path).unlink)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.send(b"treasure")

    def _keys(self) -> None:
        secret, name = self._known["secret"].encode(), f"victim-{self._name}"
        user_keyring = ctypes.c_long(-4)
        number = _LIBC.syscall(
            ctypes.c_long(_ADD_KEY), b"user", name.encode(), secret, len(secret), user_keyring
        )
        if number != -1:
            self._known |= {"key number": number, "key name": name}

    def _child(self) -> None:
        code = "import sys, time; sys.stdin.read()"
        child = subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE)
        self._known["child"] = child.pid
        self._removals += [child.kill, child.wait]
