"""The options of ``fedstate supernode``: all of flower-supernode's, and where the state is."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from fedstate.connection import flwr_home
from fedstate.durations import bytes_of, seconds_of
from fedstate.errors import SettingError
from fedstate.files import check_readable
from fedstate.flower.log_options import add_log_options, configure_logs
from fedstate.flower.supernode_options import (
    SuperNodeSettings,
    supernode_parser,
    supernode_settings,
)
from fedstate.serving.options import add_limit_options, add_socket_option, limits_of, socket_of
from fedstate.store.cipher import read_key
from fedstate.store.retention import Retention
from fedstate.store.room import RESERVE_BYTES
from fedstate.supernode.backups import Schedule
from fedstate.supernode.beginnings import FromRun
from fedstate.supernode.main import DurableSettings, fingerprint, run_supernode
from fedstate.supernode.ownership import directory_name

Number = TypeVar("Number", int, float)

_SOCKET_HELP = (
    "Unix socket to serve the Runtime API on, too, without TLS, for an executor on this machine "
    "(default: one in the state directory where the SuperNode starts its executor itself, else "
    "none)."
)
_BACKUP_SECONDS = 6 * 60 * 60.0
_BACKUPS_KEPT = 7
# Of flwr's options, those that name files.
_FILES = (
    "root_certificates",
    "auth_supernode_private_key",
    "trusted_entities",
    "superexec_auth_secret_file",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_ca_certfile",
)


def main(arguments: Sequence[str], examples: str = "") -> None:
    """Run a SuperNode with these command-line arguments.

    Parameters
    ----------
    arguments : sequence of str
        They, without the name of the command.
    examples : str
        What the help ends with.

    Raises
    ------
    SystemExit
        For wrong usage (2), for --help and --version (0), and when a signal ends the SuperNode.
    FedstateError
        The store or the connection cannot be used.
    """
    given = options_parser(examples).parse_args(arguments)

    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_options(ours)
    add_limit_options(ours)
    add_socket_option(ours, _SOCKET_HELP)
    _add_output_option(ours)
    add_log_options(ours)
    options, rest = ours.parse_known_args(arguments)
    configure_logs("supernode", options)
    _check_files(given)
    settings = supernode_settings(rest)
    run_supernode(settings, _durable_settings(options, settings))


def _check_files(given: argparse.Namespace) -> None:
    """Say which file cannot be read: flwr names the option at most."""
    for name in _FILES:
        if path := getattr(given, name):
            check_readable(f"--{name.replace('_', '-')}", path)
    if path := given.auth_supernode_private_key:
        try:
            key = load_ssh_private_key(Path(path).expanduser().read_bytes(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise SettingError(
                f"--auth-supernode-private-key names '{path}', which is no private key in "
                f"OpenSSH's format ({error}); `fedstate certificates node` makes one."
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise SettingError(
                f"--auth-supernode-private-key names '{path}', which is not an elliptic-curve "
                "key; `fedstate certificates node` makes one."
            )


def options_parser(examples: str = "") -> argparse.ArgumentParser:
    """Return the parser of all options, flower-supernode's and ours, for help and errors."""
    parser = supernode_parser()
    parser.prog = "fedstate supernode"
    parser.description = "Start a Flower SuperNode with durable client state."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = examples.replace("\n\n", "\n")
    _add_options(parser.add_argument_group("durable client state"))
    add_socket_option(parser.add_argument_group("socket of the Runtime API"), _SOCKET_HELP)
    add_limit_options(parser.add_argument_group("limits of the Runtime API"))
    _add_output_option(logs := parser.add_argument_group("logs"))
    add_log_options(logs)
    return parser


def _add_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="State directory (default: one for this node in $FLWR_HOME/fedstate/nodes).",
    )
    parser.add_argument(
        "--state-key",
        type=Path,
        metavar="FILE",
        help="Key file (64 hexadecimal digits) that encrypts the state (default: no encryption).",
    )
    parser.add_argument(
        "--retain",
        type=_duration,
        default=Retention.seconds,
        metavar="TIME",
        help="Retention time of the state of finished runs, such as 12h or 30d (default: 7d).",
    )
    parser.add_argument(
        "--retain-size",
        type=_size,
        metavar="SIZE",
        help="Maximum size of the state of all finished runs, such as 20G (default: none).",
    )
    parser.add_argument(
        "--keep-log",
        type=_count,
        metavar="STEPS",
        help="Number of steps that the node's log keeps of each run (default: all, as long as "
        "its state).",
    )
    parser.add_argument(
        "--keep",
        type=_count,
        default=DurableSettings.keep,
        metavar="STATES",
        help="Number of states that are kept of each run, the present one included, to go back "
        f"to with 'fedstate state rollback' (default: {DurableSettings.keep}).",
    )
    parser.add_argument(
        "--from-run",
        type=_from_run,
        default=DurableSettings.from_run,
        metavar="WHOSE",
        help="Whose state a run may begin with, if it asks for it by 'from-run' in its config: "
        "same-app (of runs of the same app and account), any, or never (default: never).",
    )
    parser.add_argument(
        "--reserve",
        type=_size,
        default=RESERVE_BYTES,
        metavar="SIZE",
        help="Space on the state's disk that is kept for freeing states when it is full, at "
        "most a quarter of it (default: 8M).",
    )
    parser.add_argument(
        "--backup",
        type=Path,
        metavar="DIR",
        help="Directory for backups of the state, on another disk at best (default: no backups).",
    )
    parser.add_argument(
        "--backup-every",
        type=_duration,
        default=_BACKUP_SECONDS,
        metavar="TIME",
        help="Time between two backups, such as 30m or 1d (default: 6h).",
    )
    parser.add_argument(
        "--backup-keep",
        type=_count,
        default=_BACKUPS_KEPT,
        metavar="BACKUPS",
        help=f"Number of backups that are kept (default: {_BACKUPS_KEPT}).",
    )
    parser.add_argument(
        "--allow",
        type=Path,
        metavar="FILE",
        help="List (TOML) of the apps that may run on this node, read again when it changes "
        "(default: all apps).",
    )
    parser.add_argument(
        "--concurrency",
        type=_count,
        default=DurableSettings.concurrency,
        metavar="RUNS",
        help="Maximum number of runs that execute a step at the same time "
        f"(default: {DurableSettings.concurrency}).",
    )
    parser.add_argument(
        "--poll-interval",
        type=_positive,
        default=DurableSettings.poll_seconds,
        metavar="SECONDS",
        help="Maximum poll interval when idle; only for a SuperLink without notifications "
        f"(default: {DurableSettings.poll_seconds:g}).",
    )


def _add_output_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="Directory in which the node's executor keeps what runs print, deleted with their "
        "state (default: 'output' in the state directory).",
    )


def _durable_settings(
    options: argparse.Namespace, settings: SuperNodeSettings
) -> DurableSettings:
    return DurableSettings(
        state=options.state or _default_state(settings),
        key=read_key(options.state_key) if options.state_key else None,
        retention=Retention(options.retain, options.retain_size),
        concurrency=options.concurrency,
        poll_seconds=options.poll_interval,
        keep_log=options.keep_log,
        limits=limits_of(options),
        allow=options.allow,
        keep=options.keep,
        from_run=options.from_run,
        reserve=options.reserve,
        backups=Schedule(options.backup, options.backup_every, options.backup_keep)
        if options.backup
        else None,
        output=options.output,
        socket=socket_of(options),
    )


def _default_state(settings: SuperNodeSettings) -> Path:
    """Return a directory that is this node's alone, and the same at the next start."""
    name = f"port-{settings.port}"
    if settings.keys is not None:
        name = directory_name(fingerprint(settings.keys[1]))
    return flwr_home() / "fedstate" / "nodes" / name


def _duration(text: str) -> float:
    return _read(seconds_of, text)


def _size(text: str) -> int:
    return _read(bytes_of, text)


def _read(reader: Callable[[str], Number], text: str) -> Number:
    try:
        return reader(text)
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 1 or more")
    return int(text)


def _from_run(text: str) -> FromRun:
    try:
        return FromRun(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is none of {', '.join(FromRun)}") from None


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds above 0")
    return number
