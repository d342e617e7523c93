"""A task and its kind, in our own types. Importing them imports nothing of flwr."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class TaskKind(StrEnum):
    """What a task runs; the values are those of flwr's task types, and names of its programs."""

    SERVER_APP = "flwr-serverapp"
    CLIENT_APP = "flwr-clientapp"
    SIMULATION = "flwr-simulation"
    AGENT_APP = "flwr-agentapp"
    MODEL = "flwr-model"
    CONNECTOR = "flwr-connector"


@dataclass(frozen=True)
class TaskOrder:
    """One task to run, and how its process reaches the Runtime API.

    Attributes
    ----------
    kind : TaskKind
        What it runs.
    task_id : int
        Its ID at the server that gave it out.
    token : str
        What its process authenticates itself with. Nobody else may see it.
    runtime_api_address : str
        ``host:port`` of that server.
    insecure : bool
        Whether to connect without TLS.
    root_certificates_path : str or None
        File with the certificate authority; None for the system's.
    runtime_dependency_install : bool
        Whether the app may have its dependencies installed.
    parent_pid : int or None
        A process with which flwr's own program for the task ends.
    suppress_output : bool
        Whether what the process prints is dropped.
    run_id : int
        The run that the task is a step of, or the whole of.
    fab_hash : str
        The SHA-256 of the run's FAB, in hexadecimal.
    runtime_api_socket : str or None
        The Unix socket on which the server is reached; None for its address.
    """

    kind: TaskKind
    task_id: int
    token: str = field(repr=False)
    runtime_api_address: str
    insecure: bool = False
    root_certificates_path: str | None = None
    runtime_dependency_install: bool = False
    parent_pid: int | None = None
    suppress_output: bool = False
    run_id: int = 0
    fab_hash: str = ""
    runtime_api_socket: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the order as a JSON object, token included."""
        return asdict(self)

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> "TaskOrder":
        """Return the order that `to_json` has written."""
        return TaskOrder(**{**given, "kind": TaskKind(given["kind"])})
