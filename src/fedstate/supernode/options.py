"""The options of ``fedstate supernode``: all of flower-supernode's, and where the state is."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from fedstate.connection import flwr_home
from fedstate.flower.supernode_options import (
    SuperNodeSettings,
    supernode_parser,
    supernode_settings,
)
from fedstate.serving.options import add_limit_options, limits_of
from fedstate.store.cipher import read_key
from fedstate.store.retention import Retention
from fedstate.supernode.main import DurableSettings, fingerprint, run_supernode
from fedstate.supernode.ownership import directory_name

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def main(arguments: Sequence[str]) -> None:
    """Run a SuperNode with these command-line arguments.

    Raises
    ------
    SystemExit
        For wrong usage (2), for --help and --version (0), and when a signal ends the SuperNode.
    FedstateError
        The store or the connection cannot be used.
    """
    parser = supernode_parser()
    parser.prog = "fedstate supernode"
    parser.description = "Start a Flower SuperNode with durable client state."
    _add_options(parser.add_argument_group("durable client state"))
    add_limit_options(parser.add_argument_group("limits of the Runtime API"))
    parser.parse_args(arguments)

    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_options(ours)
    add_limit_options(ours)
    options, rest = ours.parse_known_args(arguments)
    settings = supernode_settings(rest)
    run_supernode(settings, _durable_settings(options, settings))


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
    )


def _default_state(settings: SuperNodeSettings) -> Path:
    """Return a directory that is this node's alone, and the same at the next start."""
    name = f"port-{settings.port}"
    if settings.keys is not None:
        name = directory_name(fingerprint(settings.keys[1]))
    return flwr_home() / "fedstate" / "nodes" / name


def _duration(text: str) -> float:
    return _with_unit(text, _SECONDS, "a time such as 90s, 12h or 30d")


def _size(text: str) -> int:
    return int(_with_unit(text, _BYTES, "a size such as 500M or 20G"))


def _with_unit(text: str, units: dict[str, int], what: str) -> float:
    match = re.fullmatch(rf"(\d+(?:\.\d+)?)([{''.join(units)}])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not {what}")
    return float(match[1]) * units[match[2]]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 1 or more")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds above 0")
    return number
