"""``fedstate local status|restart|stop|logs``: a federation that another terminal keeps."""

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedstate.cli.examples import examples
from fedstate.cli.output import Format, Shown, console, show_rows
from fedstate.cli.place import LOCAL_DIRECTORY

if TYPE_CHECKING:
    from fedstate.local.log_files import Followed
    from fedstate.local.member import Recorded

app = typer.Typer()


def _readable(directory: Path) -> Path:
    """Return the directory of a federation, which may be missing; raise OSError if it is none."""
    with contextlib.suppress(FileNotFoundError):
        os.scandir(directory).close()
    return directory


Directory = Annotated[
    Path,
    typer.Option(
        help="The directory of the federation, as `fedstate local up` has it.",
        callback=_readable,
    ),
]
_COLUMNS = ("name", "process", "since", "restarts", "health", "address", "log")
_FOLLOW_SECONDS = 0.2


@app.command(epilog=examples("fedstate local status", "fedstate local status --format json"))
def status(directory: Directory = LOCAL_DIRECTORY, shown: Shown = Format.TABLE) -> None:
    """Show each process of the federation; exit code 1 if one is not well."""
    import json

    from fedstate.local.running import abandoned, read_running

    record, kept = read_running(directory)
    rows = [_row(each) for each in record.processes]
    if shown is Format.JSON:
        about = {"directory": str(directory.resolve()), "address": record.address}
        result = {**about, "process": record.pid if kept else None, "processes": rows}
        typer.echo(json.dumps(result))
    else:
        people = shown is Format.TABLE
        if people and kept:
            typer.echo(f"SuperLink at {record.address}; process {record.pid} keeps it.")
        show_rows(
            [{**row, "since": _clock(row["since"])} for row in rows] if people else rows,
            _COLUMNS,
            shown,
        )
    if not kept:
        console(stderr=True).print(abandoned(directory, record), soft_wrap=True, highlight=False)
    if not kept or any(not row["healthy"] for row in rows):
        raise typer.Exit(1)


@app.command(epilog=examples("fedstate local restart 2", "fedstate local restart superlink"))
def restart(
    target: Annotated[
        str,
        typer.Argument(
            help="A SuperNode's number, for it and its executor, or a name as `status` shows it."
        ),
    ],
    directory: Directory = LOCAL_DIRECTORY,
) -> None:
    """Stop and start a SuperNode with its executor, or one process, and wait until it works."""
    from fedstate.local.running import restart as restart_processes

    for each in restart_processes(directory, target):
        title = each.title[0].upper() + each.title[1:]
        typer.echo(f"{title} was started again, as process {each.pid}.")


@app.command(epilog=examples("fedstate local stop"))
def stop(directory: Directory = LOCAL_DIRECTORY) -> None:
    """Stop everything that runs; keys, state and runs are kept for the next `up`."""
    from fedstate.errors import SettingError
    from fedstate.local.running import stop as stop_processes

    if directory != LOCAL_DIRECTORY and not directory.exists():
        raise SettingError(f"--directory names {directory}, which does not exist.")
    left = stop_processes(directory)
    if left is None:
        typer.echo("Everything is stopped.")
    elif left:
        typer.echo(
            f"{left} processes of an earlier `fedstate local up` were left, and are ended."
        )
    else:
        typer.echo(f"No federation runs in {directory}.")


@app.command(epilog=examples("fedstate local logs", "fedstate local logs 2 --follow"))
def logs(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A SuperNode's number, for it and its executor, or a name as `status` shows it; "
            "all, if none."
        ),
    ] = None,
    directory: Directory = LOCAL_DIRECTORY,
    lines: Annotated[int, typer.Option(min=0, help="How many of the last lines.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written, until Ctrl-C.")
    ] = False,
) -> None:
    """Show the ends of the logs of the federation's processes; they may have ended."""
    from fedstate.errors import SettingError
    from fedstate.local.log_files import Followed, log_files
    from fedstate.local.running import names_of

    files = log_files(directory)
    if not files:
        raise SettingError(
            f"No federation has run in {directory}; `fedstate local up` starts one, and "
            "--directory names another."
        )
    names = list(files) if name is None else names_of(name)
    if not set(names) <= set(files):
        raise SettingError(
            f"There is no log of '{name}' in {directory}; give the number of a SuperNode, or one "
            f"of: {', '.join(files)}."
        )
    followed = [Followed(each, files[each]) for each in names]
    width = max(map(len, names))
    try:
        for each in followed:
            _print(each.last(lines), each.name, width if len(names) > 1 else 0)
        while follow:
            _follow(followed, width if len(names) > 1 else 0)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _follow(followed: "list[Followed]", width: int) -> None:
    import time

    for each in followed:
        _print(each.new(), each.name, width)
    time.sleep(_FOLLOW_SECONDS)


def _print(lines: Iterator[str], name: str, width: int) -> None:
    for line in lines:
        typer.echo(f"{name:{width}} | {line}" if width else line)


def _clock(since: str | None) -> str:
    """Return a time as the clock on the wall shows it, with its day if that is another one."""
    if since is None:
        return ""
    time = datetime.fromisoformat(since).astimezone()
    today = time.date() == datetime.now().astimezone().date()
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")


def _row(process: "Recorded") -> dict[str, Any]:
    problem = process.problem()
    log = Path(process.log)
    return {
        "name": process.name,
        "process": process.pid or None,
        "since": process.since or None,
        "restarts": process.restarts,
        "state": process.state,
        "healthy": problem is None,
        "health": problem or "well",
        "address": process.address,
        "log": str(log.relative_to(Path.cwd()) if log.is_relative_to(Path.cwd()) else log),
    }
