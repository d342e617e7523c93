"""``fedstate executor``: run tasks, in place of ``flower-superexec``."""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from fedstate.cli.examples import examples
from fedstate.errors import SettingError
from fedstate.executor import modules_of
from fedstate.executor import room_settings as settings
from fedstate.executor.watch import watched
from fedstate.logs import chosen_format, configure
from fedstate.logs.run_files import prepare_directory
from fedstate.logs.setup import OPTION_HELP
from fedstate.unix_sockets import checked as checked_socket

_VARIABLE = "FEDSTATE_EXECUTOR_"

EXAMPLES = examples(
    "fedstate executor --runtime-api-address localhost:9094 --root-certificates ca.crt "
    "--superexec-auth-secret-file superexec.secret",
    "fedstate executor --runtime-api-address localhost:9094 --insecure --max-concurrent-tasks 2",
    "fedstate executor --runtime-api-address localhost:9094 --insecure "
    "--runtime-socket /run/fedstate/api.sock",
)


def executor(
    runtime_api_address: Annotated[
        str,
        typer.Option(
            "--runtime-api-address",
            "--appio-api-address",
            help="host:port of the Runtime API of the SuperNode, or of the SuperLink.",
        ),
    ],
    runtime_socket: Annotated[
        Path | None,
        typer.Option(
            envvar=f"{_VARIABLE}RUNTIME_SOCKET",
            help="Unix socket on this machine on which the same Runtime API is served "
            "(--runtime-socket of `fedstate supernode` and `fedstate superlink`): ClientApps and "
            "ServerApps connect by it, without TLS; by default they connect to the address.",
        ),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Connect without TLS.")] = False,
    root_certificates: Annotated[
        Path | None,
        typer.Option(help="File with the CA certificate (PEM) of the server's certificate."),
    ] = None,
    superexec_auth_secret_file: Annotated[
        Path | None, typer.Option(help="File with the secret that the server was given.")
    ] = None,
    preload: Annotated[
        str,
        typer.Option(
            envvar=f"{_VARIABLE}PRELOAD",
            help="Modules that every task finds imported: 'auto' (TensorFlow and Keras where "
            "they are installed), 'none' (a new process for each task), or names with commas.",
        ),
    ] = "auto",
    max_concurrent_tasks: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar=f"{_VARIABLE}MAX_CONCURRENT_TASKS",
            help="Tasks that compute at once; those that only wait do not count. By default "
            "as many ClientApps as there are cores, and any number of ServerApps.",
        ),
    ] = None,
    task_time_limit: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            envvar=f"{_VARIABLE}TASK_TIME_LIMIT",
            help="Seconds that a task may take; by default no limit.",
        ),
    ] = None,
    walls: Annotated[
        str,
        typer.Option(
            envvar=f"{_VARIABLE}WALLS",
            help="What keeps the runs apart: 'auto' (what this machine offers: a user for each "
            "run, Landlock), 'require' (all of it, or an error) or 'none'.",
        ),
    ] = settings.AUTO,
    rooms: Annotated[
        Path | None,
        typer.Option(
            envvar=f"{_VARIABLE}ROOMS",
            help="Directory for the runs' own directories, for this executor alone; by default "
            "one among the temporary files.",
        ),
    ] = None,
    closed_directory: Annotated[
        list[Path] | None,
        typer.Option(
            envvar=f"{_VARIABLE}CLOSED_DIRECTORY",
            help="A directory or file that no run may read; may be given several times.",
        ),
    ] = None,
    closed_port: Annotated[
        list[int] | None,
        typer.Option(
            envvar=f"{_VARIABLE}CLOSED_PORT",
            help="A TCP port that no run may connect to or listen on; again for more.",
        ),
    ] = None,
    readable: Annotated[
        list[Path] | None,
        typer.Option(
            envvar=f"{_VARIABLE}READABLE",
            help="A directory that runs may read although it is in this user's home directory; "
            "may be given several times.",
        ),
    ] = None,
    writable: Annotated[
        list[Path] | None,
        typer.Option(
            envvar=f"{_VARIABLE}WRITABLE",
            help="A directory that runs may write to, beside their own; may be given several "
            "times.",
        ),
    ] = None,
    max_processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar=f"{_VARIABLE}MAX_PROCESSES",
            help="Processes and threads of one run; by default 1024.",
        ),
    ] = None,
    max_open_files: Annotated[
        int | None,
        typer.Option(
            min=16,
            envvar=f"{_VARIABLE}MAX_OPEN_FILES",
            help="Open files of one process; by default 65536.",
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            envvar=f"{_VARIABLE}MAX_MEMORY",
            help="Memory of one run, such as 2g; by default three quarters of what there is.",
        ),
    ] = None,
    max_files: Annotated[
        str | None,
        typer.Option(
            envvar=f"{_VARIABLE}MAX_FILES",
            help="Bytes in a run's directories, such as 500m; by default half of their file "
            "system, and 10g at most.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            envvar=f"{_VARIABLE}OUTPUT",
            help="Directory for what the runs print, a file for each run: `fedstate logs` shows "
            "it; by default nothing is kept.",
        ),
    ] = None,
    log_format: Annotated[str | None, typer.Option(help=OPTION_HELP)] = None,
    room_idle: Annotated[
        float,
        typer.Option(
            min=0.1,
            envvar=f"{_VARIABLE}ROOM_IDLE",
            help="Seconds without a task after which what a run has here is deleted, where "
            "nobody says that the run has ended.",
        ),
    ] = settings.IDLE_SECONDS,
    allow_runtime_dependency_installation: Annotated[
        bool,
        typer.Option(
            "--allow-runtime-dependency-installation",
            help="Let apps have their dependencies installed with `uv sync`.",
        ),
    ] = False,
    health_server_address: Annotated[
        str | None, typer.Option(help="host:port of a gRPC health server without TLS.")
    ] = None,
    heartbeat_file: Annotated[
        Path | None,
        typer.Option(
            envvar=f"{_VARIABLE}HEARTBEAT_FILE",
            help="File, in a directory of the executor's own, that says when it last worked: "
            "for `python -m fedstate.health`.",
        ),
    ] = None,
    parent_pid: Annotated[
        int | None, typer.Option(help="End when the process with this id does.")
    ] = None,
    executor_type: Annotated[
        str, typer.Option("--executor", hidden=True, help="Only 'subprocess', as in flwr.")
    ] = "subprocess",
    plugin_type: Annotated[  # noqa: ARG001
        str | None, typer.Option(hidden=True, help="Ignored, as in flwr.")
    ] = None,
) -> None:
    """Run the tasks of a SuperNode or a SuperLink, each in a fresh process that starts warm.

    Takes the options of ``flower-superexec``, and a few of its own.
    """
    if executor_type != "subprocess":
        raise SettingError(
            f"--executor is '{executor_type}', and this executor starts processes only: "
            "use flower-superexec for it."
        )
    log_format = chosen_format(log_format)
    certificates = _certificates(root_certificates, insecure=insecure)
    secret = _secret(superexec_auth_secret_file)
    socket = checked_socket(runtime_socket)
    modules = modules_of(preload)
    limits = {
        "processes": max_processes,
        "open_files": max_open_files,
        "memory": settings.size_of("--max-memory", max_memory),
        "files": settings.size_of("--max-files", max_files),
    }
    room_settings = settings.RoomSettings(
        walls=settings.checked_walls(walls),
        directory=rooms,
        # The secret is beside the certificate authority, which every task gets a copy of.
        closed_directories=(
            *settings.existing("--closed-directory", closed_directory),
            *(() if secret is None else (secret.absolute(),)),
        ),
        closed_ports=settings.ports("--closed-port", closed_port),
        readable=settings.existing("--readable", readable),
        writable=settings.existing("--writable", writable),
        output=None if output is None else prepare_directory(output, "--output"),
        limits={name: value for name, value in limits.items() if value is not None},
        idle_seconds=room_idle,
        socket=socket,
    )
    configure("executor", log_format)
    heart = None
    if sys.platform.startswith("linux"):
        heart = watched(heartbeat_file)
    # flwr takes 2 s to import: not before the options are known to be good.
    from fedstate.executor import Limits, RuntimeApi, run_executor

    configure("executor", log_format)  # Flower's logger has a handler of its own by now
    run_executor(
        RuntimeApi(
            runtime_api_address,
            insecure,
            certificates,
            secret,
            socket=socket,
            dependency_install=allow_runtime_dependency_installation,
        ),
        modules,
        Limits(max_concurrent_tasks, task_time_limit),
        heart=heart,
        parent_pid=parent_pid,
        health_server_address=health_server_address,
        rooms=room_settings,
    )


def _certificates(path: Path | None, *, insecure: bool) -> str | None:
    if path is None:
        return None
    if insecure:
        raise SettingError(
            f"--insecure is given together with --root-certificates {path}: leave one out."
        )
    if not path.expanduser().is_file():
        raise SettingError(
            f"--root-certificates names {path}, where there is no file: give the path of the "
            "CA certificate."
        )
    _open(path.expanduser(), "--root-certificates", path, "the path of the CA certificate")
    return str(path)


def _open(file: Path, option: str, given: Path, what: str) -> None:
    """Make sure that a file can be read."""
    try:
        os.close(os.open(file, os.O_RDONLY))
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise SettingError(
            f"{option} names {given}, which cannot be read ({error.strerror}): give {what}."
        ) from error


def _secret(path: Path | None) -> Path | None:
    """Check the file without reading it: the fork server, and so every app, is a copy of us."""
    if path is None:
        return None
    file = path.expanduser()
    _open(file, "--superexec-auth-secret-file", path, "the file that the server was given")
    if not file.stat().st_size:
        raise SettingError(
            f"--superexec-auth-secret-file names {path}, which is empty: write a secret "
            "into it, the same for the server."
        )
    return file
