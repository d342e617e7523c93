"""The executor's loop, in place of flwr's `run_superexec`.

flwr's loop makes its `Executor` itself, and knows two; it also looks for tasks at one fixed
pace, sleeps through what its processes do, and waits for a lost SuperNode inside one request.
Everything else is flwr's: the client, its authentication, the plugin that turns a task into an
`ExecutionSpec`.
"""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.app_utils import start_parent_process_monitor
from flwr.supercore.constant import TaskType
from flwr.supercore.grpc_health import run_health_server_grpc_no_tls
from flwr.supercore.interceptors import (
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.superexec.plugin import AutoExecPlugin

from fedstate.errors import FederationError
from fedstate.executor.pool import Limits, WarmExecutor
from fedstate.executor.watch import TaskWatch
from fedstate.logs import logger
from fedstate.pace import Pace

_ACQUIRE_TASK = "/flwr.proto.Runtime/AcquireTask"
_PRECAUTION_SECONDS = 5.0
# How late a task's time limit is noticed.
_TICK_SECONDS = 1.0


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
    """

    address: str
    insecure: bool = False
    root_certificates: str | None = None
    auth_secret_file: Path | None = None

    def client(self) -> RuntimeHttpClient:
        """Return a client that raises on the first failure; the loop itself tries again."""
        interceptors: list[RuntimeVersionHttpInterceptor | SuperExecAuthHttpInterceptor] = [
            RuntimeVersionHttpInterceptor(component_name="SuperExec")
        ]
        if self.auth_secret_file is not None:
            interceptors.append(
                SuperExecAuthHttpInterceptor(
                    master_secret=self.auth_secret_file.read_bytes(),
                    protected_methods={_ACQUIRE_TASK},
                )
            )
        path = self.root_certificates
        return RuntimeHttpClient.from_server_address(
            server_address=self.address,
            insecure=self.insecure,
            root_certificates=Path(path).expanduser().read_bytes() if path else None,
            interceptors=interceptors,
        )


class Stopped(BaseException):
    """A signal has told the executor to end."""


def run_executor(
    api: RuntimeApi,
    modules: Sequence[str] | None,
    limits: Limits,
    *,
    dependency_install: bool = False,
    parent_pid: int | None = None,
    health_server_address: str | None = None,
) -> None:
    """Run tasks until a signal says to stop.

    Parameters
    ----------
    api
        Where tasks come from.
    modules
        What the fork server preloads; None to start a new process for every task.
    limits
        How much is taken on at once, and for how long.
    dependency_install
        Whether an app may have its dependencies installed when it starts.
    parent_pid
        A process with which the executor ends.
    health_server_address
        Where to serve gRPC health checks; None for nowhere.

    Raises
    ------
    FederationError
        If the server refuses the executor, or the fork server cannot do its work.
    """
    # First: the fork server imports while this process connects, and is a copy of a process
    # that has no thread yet and has not read the secret.
    executor = WarmExecutor(modules, limits)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _stop)
    try:
        if parent_pid is not None:
            start_parent_process_monitor(parent_pid)
        if health_server_address is not None:
            run_health_server_grpc_no_tls(health_server_address)
        plugin = AutoExecPlugin(
            runtime_api_address=api.address,
            insecure=api.insecure,
            root_certificates_path=api.root_certificates,
            runtime_dependency_install=dependency_install,
            executor=executor,
        )
        with api.client() as client:
            _serve(client, plugin, executor)
    except Stopped:
        logger.info("The executor stops.")
    finally:
        executor.close()


def _stop(signalnum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped


def _serve(client: RuntimeHttpClient, plugin: AutoExecPlugin, executor: WarmExecutor) -> None:
    pace, watch = Pace(), TaskWatch(client, executor.task_ids)
    executor.wake_on(watch)
    try:
        _look(client, plugin, executor, pace, watch)
    finally:
        watch.end()


def _look(
    client: RuntimeHttpClient,
    plugin: AutoExecPlugin,
    executor: WarmExecutor,
    pace: Pace,
    watch: TaskWatch,
) -> None:
    connection = _Connection()
    had: set[TaskType] = set()
    looked = 0.0
    while True:
        executor.reconcile()
        types, _ = executor.get_eligible_capacity(set(plugin.supported_task_types))
        # Where the server tells of tasks, looking for them without a cause is a rare precaution.
        due = time.monotonic() - looked > _PRECAUTION_SECONDS
        if watch.woken() or types != had or due or not watch.working:
            had, looked = types, time.monotonic()
            if types and _take_one(client, plugin, types, connection):
                pace.activity()
                looked = 0.0
                continue
        watch.go_on()
        longest = pace.wait()
        if watch.working:
            longest = _TICK_SECONDS if executor.busy else _PRECAUTION_SECONDS
        if executor.wait(longest):
            pace.activity()


def _take_one(
    client: RuntimeHttpClient,
    plugin: AutoExecPlugin,
    types: set[TaskType],
    connection: "_Connection",
) -> bool:
    """Ask for a task and start it; return False if there is none."""
    try:
        answer = client.AcquireTask(AcquireTaskRequest(supported_task_types=types))
    except (httpx.TransportError, httpx.HTTPStatusError) as error:
        connection.lost(error)
        return False
    connection.made()
    if not (answer.HasField("task") and answer.token):
        return False
    plugin.launch_task(token=answer.token, task=answer.task)
    return True


class _Connection:
    """Says once that the server cannot be reached, and once that it can again."""

    def __init__(self) -> None:
        self._lost = False

    def lost(self, error: httpx.HTTPError) -> None:
        """Take note of a failed request.

        Raises
        ------
        FederationError
            If asking again would not help.
        """
        if isinstance(error, httpx.HTTPStatusError):
            code = error.response.status_code
            if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                raise FederationError(
                    f"The server at {error.request.url.netloc.decode()} refuses this executor "
                    f"(status {code}): give both the same --superexec-auth-secret-file."
                ) from error
            # A server error passes, such as that of a database that others keep busy.
            if not error.response.is_server_error:
                raise FederationError(
                    f"The server at {error.request.url.netloc.decode()} answers with status "
                    f"{code} to the request for a task: check --runtime-api-address."
                ) from error
        elif _is_about_tls(error):
            raise FederationError(
                f"The TLS connection to {error.request.url.netloc.decode()} fails ({error}): "
                "check --root-certificates and --insecure."
            ) from error
        if not self._lost:
            self._lost = True
            logger.warning("The server cannot be reached (%s); trying again.", error)

    def made(self) -> None:
        """Take note of a request that was answered."""
        if self._lost:
            self._lost = False
            logger.info("The server is reached.")


def _is_about_tls(error: httpx.HTTPError) -> bool:
    return any(word in str(error).lower() for word in ("certificate", "ssl", "tls"))
