"""The nodes of a compose project: a command on their stores is run where the store is."""

import contextlib
import functools
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from fedstate.errors import FederationError, SettingError

# In the order in which Compose looks for them.
FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_SERVICE, _SERVERAPP = "supernode-", "serverapp"
# Below it a command finds, as files, the keys that were handed in.
HANDED_IN = "/dev/fd"
# What compose/node.yml gives each SuperNode, in its working directory.
STATE = ("--state", "state")
_COPY = "/tmp/fedstate.backup"  # noqa: S108 (in the container, which has it alone)


def compose_in(directory: Path) -> "Compose | None":
    """Return the compose project in a directory, or None."""
    if any((directory / name).is_file() for name in FILES):
        return Compose(directory)
    return None


@dataclass
class Compose:
    """The compose project in a directory.

    Attributes
    ----------
    directory : Path
        Where its file is.
    """

    directory: Path

    def nodes(self) -> list[int]:
        """Return the numbers of the SuperNodes.

        Raises
        ------
        FederationError
            Docker is not here, or cannot read the project.
        """
        names = self._said("config", "--services").split()
        numbers = [name.removeprefix(_SERVICE) for name in names if name.startswith(_SERVICE)]
        return sorted(int(number) for number in numbers if number.isdecimal())

    def is_up(self, node: int) -> bool:
        """Return whether the container of a SuperNode is running; raise FederationError."""
        return f"{_SERVICE}{node}" in self._running

    def is_there(self, node: int) -> bool:
        """Return whether a SuperNode has a container, which may be stopped; FederationError."""
        return f"{_SERVICE}{node}" in self._made

    def inside_serverapp(self) -> list[str]:
        """Return what begins a command where the output of ServerApps is; empty if nowhere."""
        if _SERVERAPP in self._running:
            # That container starts as root, which may read nothing of others.
            return ["docker", "compose", "exec", "-T", "--user", _SERVERAPP, _SERVERAPP]
        # By its entrypoint a new one has that user.
        new = ["docker", "compose", "run", "--rm", "--no-deps", "-T", _SERVERAPP]
        return new if _SERVERAPP in self._made else []

    @functools.cached_property
    def _made(self) -> list[str]:
        return self._said("ps", "--all", "--services").split()

    @functools.cached_property
    def _running(self) -> list[str]:
        return self._said("ps", "--services", "--status", "running").split()

    def about(self, node: int) -> tuple[str, str, int | None]:
        """Return where a node's store is, its public key (OpenSSH), and its store's bytes.

        Of a node that is down neither key nor size are known without starting a container.
        """
        service = f"{_SERVICE}{node}"
        place = f"{service}:{STATE[1]}"
        if not self.is_up(node):
            return place, "", None
        script = (
            f"stat -c %s {STATE[1]}/node.db*; "
            f"du -sB1 {STATE[1]}/node.content 2>/dev/null | cut -f1; cat identity/node.pub"
        )
        *sizes, key = self._said("exec", "-T", service, "sh", "-c", script).strip().splitlines()
        return place, key, sum(map(int, sizes))

    def run(
        self, node: int, arguments: list[str], keys: Mapping[str, bytes] | None = None
    ) -> int:
        """Run ``fedstate`` where the store of a node is; return its exit code.

        Parameters
        ----------
        node : int
            The number of the node.
        arguments : list of str
            What ``fedstate`` is given, but for the store and the keys.
        keys : mapping of str to bytes, optional
            The encryption keys, by the options that name their files. They go there by standard
            input, and are in a pipe there: on no command line, and in no file.

        Raises
        ------
        FedstateError
            As for `inside`.
        """
        keys = keys or {}
        pipes = {f"{HANDED_IN}/{number}": option for number, option in enumerate(keys, 3)}
        handed_in = [word for pipe, option in pipes.items() for word in (option, pipe)]
        command = ["fedstate", *arguments, *STATE, *handed_in]
        if keys:
            command = ["sh", "-c", _with_keys(len(keys)), "sh", *command]
        done = subprocess.run(
            [*self.inside(node), *command],
            cwd=self.directory,
            input="".join(f"{key.hex()}\n" for key in keys.values()).encode() if keys else None,
            stderr=subprocess.PIPE,
            check=False,
        )
        # What it calls its store is another thing here.
        said = done.stderr.decode(errors="replace")
        said = said.replace(f"'{STATE[1]}'", f"'{_SERVICE}{node}:{STATE[1]}'")
        sys.stderr.write(said.replace(" ".join(STATE), f"--node {node}"))
        return done.returncode

    def backup_of(self, node: int) -> Path:
        """Return a backup of a node's store, which goes when the command ends.

        Raises
        ------
        SettingError
            The project has no such node.
        FederationError
            It could not be made.
        """
        script = (
            f"trap 'rm -f {_COPY}' EXIT; rm -f {_COPY}; "
            f"fedstate state backup {_COPY} {' '.join(STATE)} >&2 && cat {_COPY}"
        )
        stack = contextlib.ExitStack()
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="fedstate-"))
        click.get_current_context().call_on_close(stack.close)
        target = Path(place) / "backup"
        with target.open("wb") as file:
            done = subprocess.run(
                [*self.inside(node), "sh", "-c", script],
                cwd=self.directory,
                stdout=file,
                stderr=subprocess.PIPE,
                text=False,
                check=False,
            )
        if done.returncode:
            raise FederationError(
                f"The store of node {node} could not be brought here: {_last(done.stderr)}"
            )
        return target

    def inside(self, node: int) -> list[str]:
        """Return what begins a command where the store of a node is, which may be down.

        Raises
        ------
        SettingError
            The project has no such node.
        FederationError
            Docker is not here, or cannot read the project.
        """
        if node not in (nodes := self.nodes()):
            there = ", ".join(map(str, nodes)) or "none"
            raise SettingError(
                f"The compose project in '{self.directory.resolve()}' has no SuperNode {node}; "
                f"it has {there}."
            )
        how = ["exec"] if self.is_up(node) else ["run", "--rm", "--no-deps"]
        return ["docker", "compose", *how, "-T", f"{_SERVICE}{node}"]

    def _said(self, *arguments: str) -> str:
        command = ["docker", "compose", *arguments]
        try:
            done = subprocess.run(command, cwd=self.directory, capture_output=True, check=False)
        except FileNotFoundError:
            raise FederationError(
                f"The store of a node in '{self.directory.resolve()}' is in a container, and "
                "there is no `docker` here; run the command where the federation runs."
            ) from None
        if done.returncode:
            raise FederationError(
                f"`{' '.join(command)}` failed in '{self.directory.resolve()}': "
                f"{_last(done.stderr)}"
            )
        return done.stdout.decode(errors="replace")


def _with_keys(count: int) -> str:
    """Return a shell's script that has keys from standard input in pipes: 3, 4 and so on."""
    numbers = range(3, 3 + count)
    lines = [f"IFS= read -r key{number}" for number in numbers]
    lines.append('exec "$@" ' + " ".join(f"{number}<<KEY{number}" for number in numbers))
    lines += [f"$key{number}\nKEY{number}" for number in numbers]
    return "\n".join(lines) + "\n"


def _last(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing."
