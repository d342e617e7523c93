"""The options of ``fedstate supernode``: all of flower-supernode's, and where the state is."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

# flwr's own parser, so that a command line for `flower-supernode` needs no change.
from flwr.supernode.cli.flower_supernode import (
    SuperNodeLifespanConfig,
    _parse_args_run_supernode,
    _parse_supernode_lifespan_config,
)

from fedstate.connection import flwr_home
from fedstate.store.cipher import read_key
from fedstate.store.retention import Retention
from fedstate.supernode.main import DurableSettings, fingerprint, run_supernode

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
    parser = _parse_args_run_supernode()
    parser.prog = "fedstate supernode"
    parser.description = "Start a Flower SuperNode whose client state survives."
    _add_options(parser.add_argument_group("durable client state"))
    parser.parse_args(arguments)

    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_options(ours)
    options, rest = ours.parse_known_args(arguments)
    # flwr's function reads the command line of the process, which is this command alone.
    sys.argv = ["flower-supernode", *rest]
    config = _parse_supernode_lifespan_config()
    run_supernode(config, _settings(options, config))


def _add_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="Where the state is kept (default: a directory of this node's in "
        "$FLWR_HOME/fedstate/nodes).",
    )
    parser.add_argument(
        "--state-key",
        type=Path,
        metavar="FILE",
        help="A file with 64 hexadecimal digits: the key that encrypts the state.",
    )
    parser.add_argument(
        "--retain",
        type=_duration,
        default=Retention.seconds,
        metavar="TIME",
        help="How long the state of a finished run is kept, such as 12h or 30d (default: 7d).",
    )
    parser.add_argument(
        "--retain-size",
        type=_size,
        metavar="SIZE",
        help="Bound on the state of all finished runs, such as 20G (default: none).",
    )
    parser.add_argument(
        "--concurrency",
        type=_count,
        default=DurableSettings.concurrency,
        metavar="RUNS",
        help="How many runs may have a step under way at once "
        f"(default: {DurableSettings.concurrency}).",
    )
    parser.add_argument(
        "--poll-interval",
        type=_positive,
        default=DurableSettings.poll_seconds,
        metavar="SECONDS",
        help="The longest pause between two looks for messages when idle, at a SuperLink that "
        "does not tell of them "
        f"(default: {DurableSettings.poll_seconds:g}).",
    )


def _settings(options: argparse.Namespace, config: SuperNodeLifespanConfig) -> DurableSettings:
    return DurableSettings(
        state=options.state or _default_state(config),
        key=read_key(options.state_key) if options.state_key else None,
        retention=Retention(options.retain, options.retain_size),
        concurrency=options.concurrency,
        poll_seconds=options.poll_interval,
    )


def _default_state(config: SuperNodeLifespanConfig) -> Path:
    """Return a directory that is this node's alone, and the same at the next start."""
    name = f"port-{config.port}"
    if config.authentication_keys is not None:
        name = re.sub(r"\W", "", fingerprint(config.authentication_keys[1]))[:24]
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
