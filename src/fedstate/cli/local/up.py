"""``fedstate local up``: a federation as plain processes, started and kept."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedstate.cli.examples import examples
from fedstate.cli.place import LOCAL_DIRECTORY
from fedstate.durations import seconds_of
from fedstate.errors import SettingError
from fedstate.executor import modules_of
from fedstate.executor import room_settings as settings
from fedstate.interrupts import terminate_as_interrupt

app = typer.Typer()

_NO_WALLS = "nothing keeps runs apart, since --walls none was given."
_SUPERNODES = "Options of all SuperNodes; `fedstate supernode --help` has more"
_EXECUTORS = "Options of all executors; `fedstate executor --help` has more"


@app.command(
    epilog=examples(
        "fedstate local up",
        "fedstate local up --nodes 5 --max-memory 2g",
        "fedstate local up --keep 10 --from-run same-app --retain 30d",
    )
)
def up(
    nodes: Annotated[int, typer.Option(help="How many SuperNodes.")] = 3,
    port: Annotated[int | None, typer.Option(help="The Control API's port; a free one.")] = None,
    directory: Annotated[
        Path, typer.Option(help="Where keys, state, logs and records are kept.")
    ] = LOCAL_DIRECTORY,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="States that are kept of each run.", rich_help_panel=_SUPERNODES
        ),
    ] = None,
    from_run: Annotated[
        str | None,
        typer.Option(
            help="Whose state a run may begin with: same-app, any or never.",
            rich_help_panel=_SUPERNODES,
        ),
    ] = None,
    retain: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="How long the state of a finished run is kept: 12h, 30d.",
            rich_help_panel=_SUPERNODES,
        ),
    ] = None,
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
    """Start a SuperLink and SuperNodes, and keep them until Ctrl-C.

    A process of it that ends is started again. `fedstate local status`, `restart`, `logs` and
    `stop` work from any other terminal, in the same directory.
    """
    from fedstate.local.federation import Federation
    from fedstate.local.supervisor import Supervisor
    from fedstate.supernode.beginnings import FromRun

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
    executor_options = _given(options)
    # What is wrong with them is better said here than by each executor into its log.
    modules_of(preload or "none")
    settings.checked_walls(walls or settings.AUTO)
    settings.size_of("--max-memory", max_memory)
    settings.size_of("--max-files", max_files)
    for name, paths in (("--readable", readable), ("--writable", writable)):
        for path in settings.existing(name, paths):
            executor_options += [name, str(path)]

    if from_run is not None and from_run not in tuple(FromRun):
        raise SettingError(f"--from-run is '{from_run}': give one of {', '.join(FromRun)}.")
    if retain is not None:
        try:
            seconds_of(retain)
        except SettingError as error:
            raise SettingError(f"--retain: {error}.") from None

    console = Console()
    status = console.status("")
    federation = Federation(
        directory,
        nodes=nodes,
        port=port,
        executor_options=executor_options,
        supernode_options=_given({"--keep": keep, "--from-run": from_run, "--retain": retain}),
        progress=status.update,
    )
    federation.claim()
    # Before anything has a thread: a process is forked to try what this machine has.
    missing = _NO_WALLS if walls == settings.NONE else federation.missing_walls()

    def say(sentence: str) -> None:
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        console.print(f"{now} {sentence}", highlight=False, markup=False, soft_wrap=True)

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
                Supervisor(here, say).run()
        except KeyboardInterrupt:
            console.print("Everything is stopped.")


def _given(options: Mapping[str, object]) -> list[str]:
    """Return the options that were given, as they are on a command line."""
    given = {name: str(value) for name, value in options.items() if value is not None}
    return [part for pair in given.items() for part in pair]
