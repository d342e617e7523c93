"""The programs that a local federation is made of, and what all of them are started with."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

OUR_EXECUTOR = ("fedstate", "executor")
OUR_SUPERLINK = ("fedstate", "superlink")
OUR_SUPERNODE = ("fedstate", "supernode")


@dataclass(frozen=True)
class Programs:
    """The commands that a federation is made of."""

    superlink: Sequence[str] = OUR_SUPERLINK
    supernode: Sequence[str] = OUR_SUPERNODE
    serverapp_executor: Sequence[str] = OUR_EXECUTOR
    clientapp_executor: Sequence[str] = OUR_EXECUTOR


STOCK = Programs(
    superlink=("flower-superlink",),
    supernode=("flower-supernode",),
    serverapp_executor=("flower-superexec",),
    clientapp_executor=("flower-superexec",),
)


def tls_options(directory: Path) -> list[str]:
    """Return the options that a SuperLink and a SuperNode share for serving their API."""
    return [
        *("--isolation", "process"),
        *("--ssl-certfile", str(directory / "server.crt")),
        *("--ssl-keyfile", str(directory / "server.key")),
        *("--ssl-ca-certfile", str(directory / "ca.crt")),
        *("--superexec-auth-secret-file", str(directory / "superexec.secret")),
    ]


def located(command: Sequence[str]) -> list[str]:
    """Find the program beside the running Python: nobody has to activate the environment."""
    return [str(Path(sys.executable).parent / command[0]), *command[1:]]


def environment(flwr_home: Path) -> dict[str, str]:
    """Return the environment of a program, with a directory of Flower's that is its own."""
    programs = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "FLWR_HOME": str(flwr_home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "TF_CPP_MIN_LOG_LEVEL": tensorflow_log_level(),
    }


def tensorflow_log_level() -> str:
    """Return from which level on TensorFlow writes to logs: the user's own choice holds."""
    # Fatal errors alone: TensorFlow 2.21 calls it an error each time that Keras builds a data set
    # ("NodeDef mentions attribute use_unbounded_threadpool"). What goes wrong raises in Python.
    return os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")
