"""``fedstate local``: a federation as plain processes on this machine."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedstate.executor import modules_of
from fedstate.executor import room_settings as settings
from fedstate.interrupts import terminate_as_interrupt

app = typer.Typer(help="The federation as plain processes, for machines without Docker.")

WATCH_SECONDS = 1.0
_NO_WALLS = "nothing keeps runs apart, since --walls none was given."
_EXECUTORS = "Options of all executors; `fedstate executor --help` has more"


@app.callback()
def local() -> None:
    """Run the federation as plain processes, for machines without Docker."""


@app.command()
def up(
    nodes: Annotated[int, typer.Option(help="How many SuperNodes.")] = 3,
    port: Annotated[int | None, typer.Option(help="The Control API's port; a free one.")] = None,
    directory: Annotated[
        Path, typer.Option(help="Where keys, state, logs and records are kept.")
    ] = Path(".fedstate"),
    preload: Annotated[
        str | None,
        typer.Option(
            help="What tasks find imported: auto, none, or names with commas.",
            rich_help_panel=_EXECUTORS,
        ),
    ] = None,
    max_concurrent_tasks: Annotated[
        int | None, typer.Option(min=1, help="Tasks at once.", rich_help_panel=_EXECUTORS)
    ] = None,
    task_time_limit: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds that a task may take.", rich_help_panel=_EXECUTORS),
    ] = None,
    walls: Annotated[
        str | None,
        typer.Option(
            help="What keeps runs apart: auto, require or none.", rich_help_panel=_EXECUTORS
        ),
    ] = None,
    readable: Annotated[
        list[Path] | None,
        typer.Option(
            help="A directory that runs may read although it is in your home directory.",
            rich_help_panel=_EXECUTORS,
        ),
    ] = None,
    writable: Annotated[
        list[Path] | None,
        typer.Option(
            help="A directory that runs may write to, beside their own.",
            rich_help_panel=_EXECUTORS,
        ),
    ] = None,
    max_processes: Annotated[
        int | None,
        typer.Option(min=1, help="Processes of one run.", rich_help_panel=_EXECUTORS),
    ] = None,
    max_open_files: Annotated[
        int | None,
        typer.Option(min=16, help="Open files of one process.", rich_help_panel=_EXECUTORS),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(help="Memory of one run, such as 2g.", rich_help_panel=_EXECUTORS),
    ] = None,
    max_files: Annotated[
        str | None,
        typer.Option(help="Bytes in a run's directories.", rich_help_panel=_EXECUTORS),
    ] = None,
) -> None:
    """Start a SuperLink and SuperNodes, and keep them until Ctrl-C."""
    from fedstate.errors import FederationError
    from fedstate.local.federation import Federation

    options = {
        "--preload": preload,
        "--max-concurrent-tasks": max_concurrent_tasks,
        "--task-time-limit": task_time_limit,
        "--walls": walls,
        "--max-processes": max_processes,
        "--max-open-files": max_open_files,
        "--max-memory": max_memory,
        "--max-files": max_files,
    }
    executor_options = [
        part
        for name, value in options.items()
        if value is not None
        for part in (name, str(value))
    ]
    # What is wrong with them is better said here than by each executor into its log.
    modules_of(preload or "none")
    settings.checked_walls(walls or settings.AUTO)
    settings.size_of("--max-memory", max_memory)
    settings.size_of("--max-files", max_files)
    for name, paths in (("--readable", readable), ("--writable", writable)):
        for path in settings.existing(name, paths):
            executor_options += [name, str(path)]

    console = Console()
    status = console.status("")
    federation = Federation(
        directory,
        nodes=nodes,
        port=port,
        executor_options=executor_options,
        progress=status.update,
    )
    # Before anything has a thread: a process is forked to try what this machine has.
    missing = _NO_WALLS if walls == settings.NONE else federation.missing_walls()
    with terminate_as_interrupt():
        try:
            with status, federation as here:
                status.stop()
                console.print(
                    f"SuperLink at {here.connection.address}, {nodes} SuperNodes connected; "
                    "Ctrl-C stops them. In another terminal:\n\n"
                    f"  export FLWR_HOME={here.directory}/flwr "
                    f"FEDSTATE_RUNS={here.runs_directory}\n"
                    f"  flwr run app {here.connection.name} --stream\n"
                    "  fedstate verify\n",
                    highlight=False,
                    soft_wrap=True,
                )
                if missing is not None:
                    console.print(
                        f"Not enforced here: {missing}", highlight=False, soft_wrap=True
                    )
                while True:
                    ended = [each for each in here.processes if not each.running]
                    if ended:
                        raise FederationError(f"{ended[0].name} ended. {ended[0].log_end()}")
                    for name in here.restart_silent_executors():
                        console.print(f"{name} did not answer and was started again.")
                    here.bound_logs()
                    time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            console.print("Everything is stopped.")
