"""The SuperLink's Control API: runs, nodes, and registering a node's key.

``flwr list`` and ``flwr supernode register`` say the same, but start for two seconds each, which
is too long for a loop that watches runs and for a container that registers keys at start-up.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx

# What `flwr run` makes its request of, messages of the Control API, its client, and the version
# header that it insists on: flwr exports none of them publicly.
from flwr.cli.build import build_fab_from_disk
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
)
from flwr.proto.run_pb2 import Run
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

from fedstate.connection import Connection
from fedstate.errors import CertificateError, FederationError
from fedstate.exchange import paths
from fedstate.exchange.messages import EvidencePage, EvidenceRequest
from fedstate.flower import transport
from fedstate.flower.account_token import AccountToken
from fedstate.flower.control_errors import AccessError, NoEvidenceError, RunNotFoundError
from fedstate.flower.control_nodes import Node, load_public_key, node_of
from fedstate.os_errors import in_words
from fedstate.tls.problems import setting_problem
from fedstate.waiting import wait_until

__all__ = [
    "AccessError",
    "Control",
    "NoEvidenceError",
    "Node",
    "RunNotFoundError",
    "control",
    "load_public_key",
    "wait_for_superlink",
]

POLL_SECONDS = 0.2
_RUNS_AT_ONCE = 100
_NO_ACCESS = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)


class Control:
    """A client of one SuperLink's Control API.

    Every method raises `FederationError` when no answer can be had or the answer is an error,
    and `CertificateError` when TLS cannot be spoken, which no waiting mends. A request whose
    connection breaks during the handshake is made again.
    """

    def __init__(self, client: ControlHttpClient, address: str) -> None:
        self._client = client
        self._address = address

    @property
    def address(self) -> str:
        """Where it calls."""
        return self._address

    def start_run(self, app: Path, run_config: Mapping[str, float | str]) -> int:
        """Start a run of the Flower App in a directory, and return its id.

        It is what ``flwr run`` asks for, without what that checks before.
        """
        content = build_fab_from_disk(app)
        fab = Fab(hashlib.sha256(content).hexdigest(), content, {})
        request = StartRunRequest(
            fab=fab_to_proto(fab), override_config=user_config_to_proto(dict(run_config))
        )
        with self._errors():
            return int(self._client.StartRun(request).run_id)

    def run_status(self, run_id: int) -> str:
        """Return a run's status as ``flwr list`` shows it, such as ``finished:completed``.

        Raises
        ------
        RunNotFoundError
            The SuperLink has no such run.
        FederationError
            It cannot be asked.
        """
        with self._errors():
            try:
                runs = self._client.ListRuns(ListRunsRequest(run_id=run_id)).run_dict
            except httpx.HTTPStatusError as error:
                refusal = FlowerError.from_json(error.response.text)
                if refusal and refusal.code == ApiErrorCode.RUN_ID_NOT_FOUND:
                    raise RunNotFoundError(
                        f"The SuperLink at {self._address} has no run {run_id}."
                    ) from None
                raise
        return _status(runs[run_id])

    def evidence(
        self, run_ids: Sequence[int] = (), *, ask_nodes: bool = True, seconds: float = 10.0
    ) -> Iterator[EvidencePage]:
        """Yield what the SuperLink and the nodes that are connected know of runs.

        Parameters
        ----------
        run_ids : sequence of int
            The runs; without any, which runs there are, and nothing of them.
        ask_nodes : bool
            Whether to ask the nodes, too.
        seconds : float
            How long a node has for its answer.

        Raises
        ------
        NoEvidenceError
            The SuperLink keeps none: it is Flower's own.
        RunNotFoundError
            The SuperLink has no such run.
        FederationError
            It cannot be asked.
        """
        request = EvidenceRequest(
            run_ids=run_ids, ask_nodes=ask_nodes, seconds=seconds, columns=True
        )
        with self._errors():
            try:
                yield from self._client._unary_stream(  # noqa: SLF001  as for its own routes
                    path=paths.CONTROL_EVIDENCE,
                    rpc_method=f"/fedstate{paths.CONTROL_EVIDENCE}",
                    request=request,
                    response_type=EvidencePage,
                )
            except httpx.HTTPStatusError as error:
                refusal = FlowerError.from_json(error.response.text)
                if refusal and refusal.code == ApiErrorCode.RUN_ID_NOT_FOUND:
                    raise RunNotFoundError(
                        f"The SuperLink at {self._address} lacks one of the runs."
                    ) from None
                if refusal is None and error.response.status_code == httpx.codes.NOT_FOUND:
                    raise NoEvidenceError(
                        f"The SuperLink at {self._address} keeps no evidence; start it with "
                        "`fedstate superlink`."
                    ) from None
                raise

    def run_statuses(self) -> dict[int, str]:
        """Return the status of each run of the account, the newest first, of any SuperLink."""
        statuses: dict[int, str] = {}
        with self._errors():
            while True:
                request = ListRunsRequest(limit=_RUNS_AT_ONCE, skip=len(statuses))
                runs = self._client.ListRuns(request).run_dict
                new = sorted(
                    (run for run_id, run in runs.items() if run_id not in statuses),
                    key=lambda run: run.pending_at,
                    reverse=True,
                )
                statuses |= {run.run_id: _status(run) for run in new}
                if not new or len(runs) < _RUNS_AT_ONCE:
                    return statuses

    def nodes(self) -> list[Node]:
        """Return the SuperNodes of the account, also those that were unregistered."""
        with self._errors():
            infos = self._client.ListNodes(ListNodesRequest()).nodes_info
        return [node_of(info) for info in infos]

    def register(self, public_key_file: Path) -> bool:
        """Register a SuperNode's public key.

        Returns
        -------
        bool
            True if it is new, False if it was registered already.

        Raises
        ------
        CertificateError
            If the file holds no public key that Flower takes.
        FederationError
            If the SuperLink refuses it, or if its node was unregistered.
        """
        public_key = load_public_key(public_key_file)
        # Asked first: a SuperLink logs an error for every key that comes twice.
        if self._has(public_key, public_key_file):
            return False
        with self._errors():
            try:
                self._client.RegisterNode(RegisterNodeRequest(public_key=public_key))
            except httpx.HTTPStatusError as error:
                refusal = FlowerError.from_json(error.response.text)
                if refusal and refusal.code == ApiErrorCode.PUBLIC_KEY_ALREADY_IN_USE:
                    # Somebody may have registered it in between.
                    if self._has(public_key, public_key_file):
                        return False
                    raise FederationError(
                        f"The key {public_key_file} is that of another account's node, or was "
                        "replaced; make a new one with `fedstate certificates node`."
                    ) from None
                reason = refusal.message if refusal else error
                raise FederationError(
                    f"The SuperLink at {self._address} refused {public_key_file}: {reason}."
                ) from None
        return True

    def _has(self, public_key: bytes, public_key_file: Path) -> bool:
        """Return whether a key is that of a node of the account's."""
        for node in self.nodes():
            if node.public_key == public_key:
                if node.status == "unregistered":
                    raise FederationError(
                        f"The key {public_key_file} is that of node {node.node_id}, which was "
                        f"unregistered; `fedstate node restore {node.node_id}` takes it back."
                    )
                return True
        return False

    def call(
        self, path: str, request: Any, answer: type[Any], refusals: Mapping[int, str]
    ) -> Any:
        """Make a call of a route of ours.

        Parameters
        ----------
        path : str
            The route.
        request : message
            What is sent.
        answer : type
            The type of the answer.
        refusals : mapping of int to str
            What to say when the SuperLink refuses with one of flwr's codes.

        Raises
        ------
        FederationError
            The SuperLink refuses it, cannot be asked, or does not have the route.
        """
        with self._errors():
            try:
                return self._client._unary_unary(  # noqa: SLF001  as for its own routes
                    path=path,
                    rpc_method=f"/fedstate{path}",
                    request=request,
                    response_type=answer,
                )
            except httpx.HTTPStatusError as error:
                refusal = FlowerError.from_json(error.response.text)
                if refusal and refusal.code in refusals:
                    raise FederationError(refusals[refusal.code]) from None
                if refusal is None and error.response.status_code == httpx.codes.NOT_FOUND:
                    raise FederationError(
                        f"The SuperLink at {self._address} cannot change nodes; start it with "
                        "`fedstate superlink`."
                    ) from None
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPStatusError as error:
            refusal = FlowerError.from_json(error.response.text)
            reason = refusal.message if refusal else error
            kind = AccessError if error.response.status_code in _NO_ACCESS else FederationError
            raise kind(f"The SuperLink at {self._address} says: {reason}") from None
        except click.ClickException as error:  # of flwr's own client, which lacks a token
            raise AccessError(f"The SuperLink at {self._address}: {error.message}") from None
        except httpx.TransportError as error:
            problem = setting_problem(error, f"the SuperLink at {self._address}")
            if problem is not None:
                raise CertificateError(problem) from None
            raise FederationError(
                f"The SuperLink at {self._address} cannot be reached "
                f"({in_words(error)}); check that it runs."
            ) from None


@contextmanager
def control(connection: Connection) -> Iterator[Control]:
    """Open the Control API of a SuperLink.

    Raises
    ------
    CertificateError
        If the connection's root certificates are missing or hold no certificate.
    """
    if not connection.root_certificates.is_file():
        raise CertificateError(
            f"The root certificates {connection.root_certificates} of connection "
            f"'{connection.name}' are missing."
        )
    try:
        client = transport.connected(
            ControlHttpClient,
            connection.address,
            insecure=False,
            root_certificates=connection.root_certificates,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="fedstate"),
                *([AccountToken(connection.token)] if connection.token else []),
            ],
            retries=transport.handshake_policy(),
        )
    except CertificateError:
        raise CertificateError(
            f"The root certificates {connection.root_certificates} of connection "
            f"'{connection.name}' hold no PEM certificate."
        ) from None
    try:
        yield Control(client, connection.address)
    finally:
        client.close()


def wait_for_superlink(connection: Connection, seconds: float) -> None:
    """Wait until a SuperLink answers.

    Raises
    ------
    AccessError
        If it refuses the connection's account.
    FederationError
        If it does not answer within ``seconds``; the message has the last reason.
    """
    problem: FederationError | None = None

    def answers() -> bool:
        nonlocal problem
        try:
            with control(connection) as superlink:
                superlink.nodes()
        except AccessError:
            raise  # waiting does not help
        except FederationError as error:
            problem = error
            return False
        return True

    if not wait_until(answers, seconds, poll_seconds=POLL_SECONDS) and problem is not None:
        raise problem


def _status(run: Run) -> str:
    status = run.status.status
    return f"{status}:{run.status.sub_status}" if run.status.sub_status else status
