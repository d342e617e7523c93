"""``fedstate logs``: what the apps of a run have printed."""

import csv
import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from fedstate.cli.compose import STATE, Compose, compose_in
from fedstate.cli.output import Format, Shown, warn
from fedstate.cli.place import LOCAL_DIRECTORY, Node
from fedstate.errors import FederationError, SettingError
from fedstate.files import listed
from fedstate.logs.lines import Line

EXAMPLES = """Examples:

$ fedstate logs 4711

$ fedstate logs 4711 --node 2 --follow

$ fedstate logs 4711 --format json"""

# Where the container of the ServerApps has their output.
_OF_SERVERAPPS = ("--output", "output")


def logs(
    run: Annotated[str, typer.Argument(help="The ID of a run, or its first digits.")],
    node: Node = None,
    state: Annotated[
        Path | None, typer.Option("--state", help="The state directory of a node.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="The directory that an executor was given as --output."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes until the run ends.")
    ] = False,
    shown: Shown = Format.TABLE,
) -> None:
    """Show what the ClientApps and the ServerApp of a run have printed, with run, node and round.

    Of all nodes of the federation in this directory (`fedstate local up`, or containers, which
    may be stopped), of one, or of one state directory. JSON is an object a line.
    """
    try:
        _show(_lines(run, node, state, output, follow=follow), shown)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _lines(
    run: str, node: int | None, state: Path | None, output: Path | None, *, follow: bool
) -> Iterable[Line]:
    from fedstate.logs.reading import lines_of, run_named
    from fedstate.logs.run_files import Reader

    given = [each is not None for each in (node, state, output)]
    if sum(given) > 1:
        raise SettingError("--node, --state and --output all name a node: give one of them.")
    if state is not None and not state.is_dir():
        raise SettingError(f"--state is {state}, which is no directory: name a node's state.")
    if output is not None and not output.is_dir():
        raise SettingError(
            f"--output is {output}, which is no directory: name the one that the executor was "
            "given."
        )
    if not any(given[1:]) and not LOCAL_DIRECTORY.is_dir():
        return _of_containers(run, node, follow=follow)
    directories = _directories(node, state, output)
    run_id = run_named(run, directories)
    readers = [Reader(each, run_id) for each in directories]
    return lines_of(readers, follow=follow, silent=_say_silent)


def _say_silent() -> None:
    warn(
        "Nothing was printed for a minute, and the output does not say that the run has ended. "
        "It may be at work, or its executor was killed for good. `flwr list` has the run's "
        "status, and Ctrl-C ends the waiting."
    )


def _directories(node: int | None, state: Path | None, output: Path | None) -> list[Path]:
    if output is not None:
        return [output]
    if state is not None:
        return [state / "output"]
    if node is None:
        # What is missing has no output; what may not be read is an error.
        homes = [LOCAL_DIRECTORY / "superlink", *_nodes().values()]
        return sorted(home / "output" for home in homes)
    directory = LOCAL_DIRECTORY / f"node-{node}"
    if not directory.is_dir():
        raise SettingError(
            f"There is no node {node} in '{LOCAL_DIRECTORY}'; there is "
            f"{', '.join(map(str, sorted(_nodes()))) or 'none'}."
        )
    return [directory / "output"]


def _nodes() -> dict[int, Path]:
    """Return the directories of the local federation's nodes, by their numbers."""
    named = {each.name.removeprefix("node-"): each for each in listed(LOCAL_DIRECTORY)}
    return {int(n): each for n, each in named.items() if n != each.name and n.isdecimal()}


def _of_containers(run: str, node: int | None, *, follow: bool) -> Iterable[Line]:
    from fedstate.logs.reading import CommandSource, collected, lines_of

    compose, options = Compose(Path()), ["--format", "json"]
    following = [*options, "--follow"] if follow else options
    try:
        numbers = [node] if node is not None else list(filter(compose.is_there, compose.nodes()))
    except FederationError:
        if compose_in(Path()) is not None:
            raise
        raise SettingError(
            f"There is no federation in this directory (no '{LOCAL_DIRECTORY}', and no compose "
            "project). Go to the directory of `fedstate local up` or of docker-compose.yml, or "
            "give --state DIRECTORY."
        ) from None
    commands = []
    for number in numbers:
        command = [*compose.inside(number), "fedstate", "logs", run, *STATE]
        # Nothing more comes from one that is down.
        commands.append([*command, *(following if compose.is_up(number) else options)])
    if node is None and (inside := compose.inside_serverapp()):
        commands.append([*inside, "fedstate", "logs", run, *_OF_SERVERAPPS, *following])
    if not commands:
        raise SettingError(
            "There are no containers of this directory's project. Name a node, whose output is "
            "on a volume, with --node 1, or start the project: docker compose up --detach"
        )
    sources = [CommandSource(each) for each in commands]
    if follow:
        return lines_of(sources, follow=True, silent=_say_silent)
    lines = collected(sources)
    if not lines and (problems := [each.problem for each in sources if each.problem]):
        # Before it, Compose says what it has made.
        raise FederationError(problems[0].splitlines()[-1].removeprefix("fedstate: "))
    if len({line.labels.get("run") for line in lines}) > 1:
        raise FederationError(f"Several runs begin with '{run}': give more digits.")
    return lines


def _show(lines: Iterable[Line], shown: Format) -> None:
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    header = shown is Format.CSV
    for line in lines:
        if shown is Format.JSON:
            typer.echo(line.to_json())
        elif shown is Format.CSV:
            typer.echo(_row(line, header=header), nl=False)
            header = False
        else:
            typer.echo(line.to_text(colour=colour))


def _row(line: Line, *, header: bool) -> str:
    written = io.StringIO()
    fields = line.to_fields()
    writer = csv.DictWriter(written, list(fields), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerow(fields)
    return written.getvalue()
