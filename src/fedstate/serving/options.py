"""The options for a server's limits, and for its Unix socket."""

import argparse
import re
from dataclasses import replace
from pathlib import Path

from fedstate.limits import PROTOBUF_BYTES
from fedstate.serving.limits import Limits
from fedstate.unix_sockets import OPTION, checked

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_LEAST_MESSAGE = 2**20
_LEAST_CONNECTIONS = 16


def add_limit_options(parser: argparse._ActionsContainer) -> None:
    """Add the options to a parser."""
    parser.add_argument(
        "--max-message",
        type=_message_bytes,
        metavar="SIZE",
        help="Maximum size of a request that carries a message, its objects or a Context, such "
        "as 500M (default: 2G less a byte, the most that Flower's protocol can carry).",
    )
    parser.add_argument(
        "--max-connections",
        type=_connections,
        metavar="COUNT",
        help="Maximum number of open connections (default: 8192, or what the process's limit on "
        "descriptors leaves).",
    )


def limits_of(options: argparse.Namespace) -> Limits:
    """Return the limits that the options say."""
    limits = Limits()
    if options.max_message is not None:
        limits = replace(limits, message_bytes=options.max_message)
    if options.max_connections is not None:
        # Strangers leave room for others, however few there may be.
        limits = replace(
            limits,
            connections=options.max_connections,
            strangers=min(limits.strangers, options.max_connections // 2),
            strangers_of_peer=min(limits.strangers_of_peer, options.max_connections // 2),
        )
    return limits


def add_socket_option(parser: argparse._ActionsContainer, help_text: str) -> None:
    """Add the option for the Unix socket of the Runtime API to a parser."""
    parser.add_argument(OPTION, type=Path, metavar="PATH", help=help_text)


def socket_of(options: argparse.Namespace) -> Path | None:
    """Return the socket that the option names, as an absolute path.

    Raises
    ------
    SettingError
        If its directory is not there.
    """
    return checked(options.runtime_socket)


def _message_bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    if not _LEAST_MESSAGE <= size <= PROTOBUF_BYTES + 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size from 1M to 2G, such as 500M")
    return min(size, PROTOBUF_BYTES)


def _connections(text: str) -> int:
    if not text.isdecimal() or int(text) < _LEAST_CONNECTIONS:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a whole number of {_LEAST_CONNECTIONS} or more"
        )
    return int(text)
