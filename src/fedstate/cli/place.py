"""Which store a command is about: one grammar for all commands on the state of a node."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup, TyperOption

from fedstate.cli import completion
from fedstate.cli.compose import Compose, compose_in
from fedstate.errors import SettingError
from fedstate.files import listed

LOCAL_DIRECTORY = Path(".fedstate")

# The options that name a file with a key of the store that a command is about.
_KEYS = ("--state-key", "--old-key", "--new-key")
# What a command line has besides what its command is given: see `OnAStore`.
_ARGUMENTS, _DIRECTORY = "fedstate.arguments", "fedstate.directory"

State = Annotated[
    Path | None,
    typer.Option("--state", help="The state directory of a node, or a backup."),
]
StateDirectory = Annotated[
    Path | None, typer.Option("--state", help="The state directory of a node.")
]
Node = Annotated[
    int | None,
    typer.Option(
        "--node",
        min=1,
        help="A node of the federation in this directory: 1, 2, …",
        autocompletion=completion.nodes,
    ),
]
Key = Annotated[
    Path | None,
    typer.Option("--state-key", help="The file with the encryption key, if there is one."),
]
Run = Annotated[
    str,
    typer.Argument(
        help="A run, by the first digits of its ID.", autocompletion=completion.run_ids
    ),
]
RunState = Annotated[
    str,
    typer.Argument(
        help="A run, by the first digits of its ID, or RUN@N: the state of its N-th step.",
        autocompletion=completion.run_ids,
        metavar="RUN[@N]",
    ),
]
AnyRun = Annotated[
    str | None,
    typer.Argument(
        help="A run, by the first digits of its ID; all, if none.",
        autocompletion=completion.run_ids,
    ),
]


class OnAStore(TyperGroup):
    """A group of commands on stores; those with ``--node`` get ``--directory`` as well."""

    def __init__(
        self,
        *,
        commands: Mapping[str, click.Command] | Sequence[click.Command] | None = None,
        **attributes: Any,
    ) -> None:
        named = commands.values() if isinstance(commands, Mapping) else commands or ()
        for command in named:
            if any(parameter.name == "node" for parameter in command.params):
                command.params.append(_directory_option())
        super().__init__(commands=commands, **attributes)  # type: ignore[arg-type]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, which may have to be given to the command elsewhere."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def _directory_option() -> click.Option:
    def keep(context: click.Context, _: click.Parameter, value: Path | None) -> None:
        context.meta[_DIRECTORY] = value

    return TyperOption(
        param_decls=["--directory"],
        type=click.Path(path_type=Path),
        help="With --node: the federation's directory, if it is not '.fedstate' or this one.",
        callback=keep,
        expose_value=False,
        # Before --node is completed.
        is_eager=True,
    )


def place_of(
    state: Path | None, node: int | None, *, copied: bool = False, not_there: str = ""
) -> Path:
    """Return the state directory, or the backup, that a command is about.

    In a compose project the store is in a container: the command is run there, and ends here.

    Parameters
    ----------
    state : Path, optional
        What ``--state`` names.
    node : int, optional
        What ``--node`` names: the number of a node of the federation in this directory, which
        may be up or down.
    copied : bool
        Whether the command writes files here: it gets a backup from the container then.
    not_there : str
        Why the command cannot be run in a container, and what to do; empty if it can.

    Raises
    ------
    SettingError
        Neither is given, or both; or there is no such node; or it is in a container, and
        `not_there` is given.
    OSError
        ``--directory`` names no directory, or the federation's may not be read.
    typer.Exit
        The command was run in a container, with its exit code.
    """
    if state is not None and node is not None:
        raise SettingError("--state and --node both name a store: give one of them.")
    if state is not None:
        return state
    if node is None:
        raise SettingError(
            "Which node? Give --state DIRECTORY (a state directory or a backup), or --node 1 for "
            "the first node of the federation in this directory."
        )
    given = _given()
    directory = given or LOCAL_DIRECTORY
    if stores := local_stores(directory):
        if node not in stores:
            there = ", ".join(map(str, sorted(stores)))
            raise SettingError(
                f"There is no node {node} with a store in '{directory}'; there is {there}."
            )
        return stores[node]
    if compose := compose_in(given or Path()):
        if not_there:
            raise SettingError(f"The store of node {node} is in a container, and {not_there}.")
        return _in_container(compose, node, copied=copied)
    raise SettingError(_nothing(directory))


def changed_place_of(state: Path | None, node: int | None) -> Path:
    """Return the state directory that a command changes.

    Raises
    ------
    SettingError
        As for `place_of`; or it is a backup.
    StoreError
        It is a file, and no intact backup.
    """
    from fedstate.store.backup_file import read_backup

    place = place_of(state, node)
    if place.is_file():
        read_backup(place)
        raise SettingError(
            f"'{place}' is a backup, which is not changed. Restore it first, with: "
            f"fedstate state restore {place} --state DIRECTORY"
        )
    return place


def places_of(states: Sequence[Path], nodes: Sequence[int], *, every: bool = False) -> list[Path]:
    """Return the stores that a command is about which writes files here.

    Parameters
    ----------
    states : sequence of Path
        What ``--state`` names, each time that it is given.
    nodes : sequence of int
        What ``--node`` names, each time that it is given.
    every : bool
        Whether the stores of all nodes of the federation in this directory are meant where
        neither is given.

    Raises
    ------
    SettingError
        Neither is given, or there is no such node.
    """
    if not states and not nodes:
        nodes = _every_node() if every else []
        if not nodes:
            return [place_of(None, None)]
    return [*states, *(place_of(None, node, copied=True) for node in nodes)]


def _meta() -> dict[str, Any]:
    context = click.get_current_context(silent=True)
    return context.meta if context else {}


def _given() -> Path | None:
    """Return what ``--directory`` names, if it is a directory; raise OSError if it is none."""
    given: Path | None = _meta().get(_DIRECTORY)
    if given is not None:
        os.scandir(given).close()
    return given


def _every_node() -> list[int]:
    given = _given()
    directory = given or LOCAL_DIRECTORY
    if stores := local_stores(directory):
        return sorted(stores)
    compose = compose_in(given or Path())
    if compose is None:
        raise SettingError(_nothing(directory))
    return compose.nodes()


def _in_container(compose: Compose, node: int, *, copied: bool) -> Path:
    if copied:
        return compose.backup_of(node)
    arguments: list[str] = _meta().get(_ARGUMENTS, [])
    keys = _keys()
    given = ["state", *without(arguments, "--node", "--directory", *keys)]
    raise typer.Exit(compose.run(node, given, keys))


def _keys() -> dict[str, bytes]:
    """Return the keys in the files that the command's options name, by these options."""
    from fedstate.store.cipher import read_key

    context = click.get_current_context()
    files = {
        option: context.params.get(parameter.name or "")
        for parameter in context.command.params
        for option in parameter.opts
        if option in _KEYS
    }
    return {option: read_key(Path(file)) for option, file in files.items() if file is not None}


def _nothing(directory: Path) -> str:
    if directory.is_dir():
        return (
            f"No node in '{directory}' has a store yet: a SuperNode makes it when it is started "
            "for the first time."
        )
    return (
        f"--node names a node of the federation in this directory, and there is none here (no "
        f"'{directory}', no compose project with SuperNodes). Go to the directory of "
        "`fedstate local up` or of docker-compose.yml, or give --state DIRECTORY."
    )


def local_stores(directory: Path = LOCAL_DIRECTORY) -> dict[int, Path]:
    """Return the state directories of a local federation's nodes, by their numbers.

    Raises
    ------
    OSError
        A directory of it may not be read. Without the directory there are no stores.
    """
    # In each node's FLWR_HOME, under a name that follows from its key: the one that was used
    # last, if it has had several keys.
    numbered: dict[int, Path] = {}
    for home in listed(directory):
        number = home.name.removeprefix("node-")
        if home.name != number and number.isdecimal():
            stores = listed(home / "flwr" / "fedstate" / "nodes")
            databases = [each / "node.db" for each in stores if (each / "node.db").exists()]
            if databases:
                numbered[int(number)] = max(databases, key=_last_used).parent
    return numbered


def _last_used(database: Path) -> float:
    log = database.with_name(f"{database.name}-wal")
    return max(each.stat().st_mtime for each in (database, log) if each.exists())


def without(arguments: Sequence[str], *options: str) -> list[str]:
    """Return arguments without some options and their values."""
    kept: list[str] = []
    rest = iter(arguments)
    for each in rest:
        if each in options:
            next(rest, None)
        elif each.partition("=")[0] not in options:
            kept.append(each)
    return kept


def key_of(path: Path | None) -> bytes | None:
    """Return the encryption key in a file; None without one."""
    from fedstate.store.cipher import read_key

    return read_key(path) if path else None
