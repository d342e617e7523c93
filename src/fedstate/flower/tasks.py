"""The tasks that a SuperNode or a SuperLink gives out to its executors, in our own types."""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

# The messages with which an executor asks, and the client that sends them.
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType

# What the server insists on: the version, and a signature made with the shared secret.
from flwr.supercore.interceptors import (
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient

# Which tasks' output flwr's executor drops.
from flwr.supercore.superexec.plugin import AutoExecPlugin

from fedstate.errors import CertificateError, FederationError, SettingError
from fedstate.exchange import paths
from fedstate.exchange.client import ExtraRoutes, Waited
from fedstate.flower import transport
from fedstate.flower.clocks import differ, seconds_ahead
from fedstate.flower.task_order import TaskKind, TaskOrder
from fedstate.logs import logger
from fedstate.tls.problems import setting_problem


class TaskServerError(FederationError):
    """The server gives this executor no tasks, and asking again does not help."""


class TaskServerUnavailableError(TaskServerError):
    """The server does not answer, or has a passing trouble of its own; asking again may help."""


class TaskServerRefusesError(TaskServerUnavailableError):
    """The server refuses an executor that it has given tasks before."""


@dataclass(frozen=True)
class RuntimeApi:
    """Where tasks come from.

    Parameters
    ----------
    address
        ``host:port`` of the Runtime API of a SuperNode or a SuperLink.
    insecure
        Whether to connect without TLS.
    root_certificates
        File with the certificate authority; None for the system's.
    auth_secret_file
        File with the secret shared with the server; None if it asks for none.
    dependency_install
        Whether an app may have its dependencies installed when it starts.
    socket
        The Unix socket on which the same API is served; None to connect to the address. Flower's
        own programs for tasks, such as a simulation's, always do.
    """

    address: str
    insecure: bool = False
    root_certificates: str | None = None
    auth_secret_file: Path | None = None
    dependency_install: bool = False
    socket: Path | None = None

    @property
    def server(self) -> str:
        """What messages call the server: where it is reached."""
        return self.address if self.socket is None else f"unix:{self.socket}"


class TaskSource:
    """Takes tasks from a server, one at a time. A request that fails is not repeated here.

    Parameters
    ----------
    api
        Where they come from.

    Raises
    ------
    SettingError
        If the file with the certificate authority holds none.
    """

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        interceptors: list[RuntimeVersionHttpInterceptor | SuperExecAuthHttpInterceptor] = [
            RuntimeVersionHttpInterceptor(component_name="SuperExec")
        ]
        if api.auth_secret_file is not None:
            interceptors.append(
                SuperExecAuthHttpInterceptor(
                    master_secret=api.auth_secret_file.read_bytes(),
                    protected_methods={paths.ACQUIRE_TASK},
                )
            )
        try:
            self._client = transport.connected(
                RuntimeHttpClient,
                api.address,
                insecure=api.insecure,
                root_certificates=api.root_certificates,
                interceptors=interceptors,
                socket=api.socket,
            )
        except CertificateError as error:
            raise SettingError(
                f"--root-certificates names {api.root_certificates}, which holds no certificate "
                f"in PEM form ({error}): give the path of the CA certificate."
            ) from error
        self._routes = ExtraRoutes(self._client)
        self._worked = False

    def acquire(self, kinds: Collection[TaskKind]) -> TaskOrder | None:
        """Take a task of one of these kinds, or return None if there is none.

        Raises
        ------
        TaskServerUnavailableError
            If asking again may help.
        TaskServerError
            If it does not.
        """
        with self._errors():
            answer = self._client.AcquireTask(AcquireTaskRequest(supported_task_types=kinds))
        self._worked = True
        if not (answer.HasField("task") and answer.token):
            return None
        try:
            kind = TaskKind(answer.task.type)
        except ValueError:
            logger.error(
                "Task %d is of the kind '%s', which nobody asked for: its token will expire.",
                answer.task.task_id,
                answer.task.type,
            )
            return None
        return TaskOrder(
            kind=kind,
            task_id=answer.task.task_id,
            token=answer.token,
            runtime_api_address=self._api.address,
            insecure=self._api.insecure,
            root_certificates_path=self._api.root_certificates,
            runtime_dependency_install=self._api.dependency_install,
            parent_pid=os.getpid(),
            suppress_output=(
                AutoExecPlugin.suppress_output
                and TaskType(kind) not in AutoExecPlugin.visible_output_task_types
            ),
            run_id=answer.task.run_id,
            fab_hash=answer.task.fab_hash,
            runtime_api_socket=None if self._api.socket is None else str(self._api.socket),
        )

    def wait(
        self,
        seen: int,
        seconds: float,
        task_ids: Sequence[int],
        *,
        run_ids: Sequence[int] = (),
        ends: int = 0,
    ) -> Waited | None:
        """Wait until the server's count of task notifications is not `seen`.

        The wait ends also when one of the tasks or runs has ended.

        Parameters
        ----------
        seen
            The count that was returned last; 0 at first.
        seconds
            How long to wait at most.
        task_ids
            The tasks that this executor has under way, which the server is told.
        run_ids
            The runs of which this executor keeps something.
        ends
            The count of ends that was returned last; 0 at first.

        Returns
        -------
        Waited or None
            The count, and what has ended; None if the server has no notifications of tasks.

        Raises
        ------
        TaskServerUnavailableError
            If asking again may help.
        TaskServerError
            If it does not.
        """
        with self._errors():
            waited = self._routes.wait(
                paths.TASKS_WAIT,
                Node(),
                seen,
                seconds,
                method=paths.ACQUIRE_TASK,
                task_ids=task_ids,
                run_ids=run_ids,
                ends=ends,
            )
        # A server without this route has not looked who asks.
        self._worked = self._worked or waited is not None
        return waited

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        address = self._api.server
        try:
            yield
        except httpx.HTTPStatusError as error:
            code = error.response.status_code
            if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                raise self._refusal(error.response) from error
            # A server error passes, such as that of a database that others keep busy.
            if error.response.is_server_error:
                raise TaskServerUnavailableError(str(error)) from error
            raise TaskServerError(
                f"The server at {address} answers with status {code} to the request for a task: "
                "check --runtime-api-address."
            ) from error
        except httpx.TransportError as error:
            problem = setting_problem(error, f"the server at {address}")
            # One that was right before may be again, and tasks are under way meanwhile.
            if problem is not None and not self._worked:
                raise TaskServerError(
                    f"{problem} The options are --root-certificates and --insecure."
                ) from error
            reason = problem or str(error) or type(error).__name__
            raise TaskServerUnavailableError(reason.rstrip(".")) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise TaskServerError(
                f"The server at {address} is none of Flower's ({error}): check "
                "--runtime-api-address."
            ) from error

    def _refusal(self, response: httpx.Response) -> TaskServerError:
        """Return what it means that the server does not take what shows who asks."""
        server, ahead = f"the server at {self._api.server}", seconds_ahead(response)
        secret = "give both the same --superexec-auth-secret-file"  # noqa: S105  # it is none
        status = f"(status {response.status_code})"
        if not self._worked:
            if ahead is not None:
                return TaskServerError(differ(ahead, server))
            return TaskServerError(f"T{server[1:]} refuses this executor {status}: {secret}.")
        # A clock may have been set, and is right again soon; tasks are under way meanwhile.
        return TaskServerRefusesError(
            differ(ahead, server).rstrip(".")
            if ahead is not None
            else f"it refuses this executor {status} since a clock was set, or it has another "
            f"secret now: set both machines' clocks right, or {secret}"
        )
