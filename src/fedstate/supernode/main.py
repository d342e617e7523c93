"""A SuperNode whose state survives: flwr's parts, put together around the node store."""

import base64
import hashlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

# Everything that `flower-supernode` is made of; its own main loop polls every 3 s, runs one
# message at a time over all runs, and sends a reply before the state is stored.
from flwr.common.constant import ISOLATION_MODE_SUBPROCESS
from flwr.supercore.address import parse_address, resolve_bind_address
from flwr.supercore.exit import register_signal_handlers
from flwr.supercore.grpc_health import run_health_server_grpc_no_tls
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.telemetry import EventType
from flwr.supercore.tls import get_client_tls_args
from flwr.supernode.cli.flower_supernode import SuperNodeLifespanConfig

from fedstate.certificates.keys import ensure_node_key
from fedstate.errors import SettingError
from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi, KeyPair
from fedstate.flower.errors import RefusedError, UnauthorizedError, UnreachableError
from fedstate.flower.nodestate import DurableNodeState
from fedstate.flower.runs import Fab, is_verified
from fedstate.logs import logger
from fedstate.store.node_store import NodeStore
from fedstate.store.retention import Retention
from fedstate.supernode.admission import Admission
from fedstate.supernode.link import Link
from fedstate.supernode.maintenance import Maintenance
from fedstate.supernode.membership import Membership, Patience
from fedstate.supernode.pacing import Pacing
from fedstate.supernode.runtime_api import runtime_api
from fedstate.supernode.session import SessionFile
from fedstate.supernode.steps import Steps


@dataclass(frozen=True)
class DurableSettings:
    """What a SuperNode of ours has beyond flwr's settings.

    Attributes
    ----------
    state : Path
        The state directory.
    key : bytes, optional
        The encryption key of the store.
    retention : Retention
        How long the state of finished runs is kept.
    concurrency : int
        How many runs may have a step under way at once.
    poll_seconds : float
        The longest pause between two polls of an idle SuperNode.
    """

    state: Path
    key: bytes | None = None
    retention: Retention = field(default_factory=Retention)
    concurrency: int = 4
    poll_seconds: float = 1.0


_RETRY_SECONDS = 1.0
_END_SECONDS = 5.0


def run_supernode(config: SuperNodeLifespanConfig, settings: DurableSettings) -> None:
    """Run a SuperNode until SIGTERM or SIGINT.

    Raises
    ------
    FedstateError
        The store or the connection cannot be used; the message says how to go on.
    """
    if config.insecure and config.authentication_keys is not None:
        raise SettingError(
            "A SuperNode with --auth-supernode-private-key needs TLS: leave out --insecure and "
            "give --root-certificates."
        )
    with _ending_in_time(), ExitStack() as stack:
        store = NodeStore(settings.state, key=settings.key)
        stack.callback(store.close)
        keys = config.authentication_keys or _own_keys(settings.state)
        store.bind(fingerprint(keys[1]))
        state = DurableNodeState(ObjectStoreFactory().store(), store)
        health = [
            run_health_server_grpc_no_tls(address)
            for address in [config.health_server_address]
            if address
        ]
        register_signal_handlers(
            event_type=EventType.RUN_SUPERNODE_LEAVE,
            exit_message="SuperNode terminated gracefully.",
            grpc_servers=health,
        )
        api = _fleet_api(config, keys)
        membership = Membership(
            api,
            SessionFile(settings.state / "session", PATIENCE_SECONDS),
            register=config.authentication_keys is None,
            patience=Patience(config.max_retries, config.max_wait_time),
        )
        link = Link(api, membership)
        pacing = Pacing(settings.poll_seconds)
        steps = Steps(
            state,
            link,
            admission=Admission(
                state, link, config.node_config, _fab_check(config.trusted_entities)
            ),
            concurrency=settings.concurrency,
            on_change=pacing.hurry,
        )
        stack.callback(_leave, membership, steps)
        stack.enter_context(runtime_api(config, state, steps))
        if config.isolation == ISOLATION_MODE_SUBPROCESS:
            _start_executor(config)
        membership.join()
        state.set_node_id(membership.node_id)
        logger.info("SuperNode ID: %s", membership.node_id)
        stack.enter_context(_maintenance(state, link, steps, settings.retention, pacing))
        steps.resume()
        _pull_messages(link, steps, pacing)


def _leave(membership: Membership, steps: Steps) -> None:
    under_way = steps.under_way
    steps.close()
    if under_way:
        logger.info("Steps are under way: the next SuperNode goes on with them.")
    membership.leave(for_good=not under_way)


@contextmanager
def _ending_in_time() -> Iterator[None]:
    """Make sure that an error ends the process: threads may wait for a SuperLink for ever."""
    try:
        yield
    except Exception:
        timer = threading.Timer(_END_SECONDS, os._exit, (1,))
        timer.daemon = True
        timer.start()
        raise


def _pull_messages(link: Link, steps: Steps, pacing: Pacing) -> None:
    pause = threading.Event()
    while True:
        if steps.failure is not None:
            raise steps.failure
        try:
            if link.receive(steps.receive):
                pacing.hurry()
                continue
            if link.wait_for_messages():
                continue
        except UnauthorizedError:
            raise
        except (RefusedError, UnreachableError) as error:
            logger.warning("%s Trying again.", error)
            pause.wait(_RETRY_SECONDS)
        pacing.wait()


def fingerprint(public_key: ec.EllipticCurvePublicKey) -> str:
    """Return a node's public key as OpenSSH shows it: SHA256 in base64."""
    digest = hashlib.sha256(public_key_to_bytes(public_key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _own_keys(directory: Path) -> KeyPair:
    """Return a key pair that stays with the state, for a SuperLink without authentication.

    flwr makes a new one at every start, and with it a new node without a past.
    """
    ensure_node_key(directory)
    private_key = load_ssh_private_key((directory / "node.key").read_bytes(), None)
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise SettingError(f"'{directory / 'node.key'}' is not an elliptic-curve key.")
    return private_key, private_key.public_key()


def _fleet_api(config: SuperNodeLifespanConfig, keys: KeyPair) -> FleetApi:
    parsed = parse_address(config.server_address)
    if not parsed:
        raise SettingError(
            f"--superlink has the value '{config.server_address}', which is not HOST:PORT."
        )
    host, port, is_v6 = parsed
    certificates = config.root_certificates
    return FleetApi(
        f"[{host}]:{port}" if is_v6 else f"{host}:{port}",
        keys,
        insecure=config.insecure,
        root_certificates=str(Path(certificates).expanduser())
        if isinstance(certificates, str)
        else certificates,
    )


def _start_executor(config: SuperNodeLifespanConfig) -> None:
    host = f"[{config.host}]" if ":" in config.host else config.host
    command = [
        "flower-superexec",
        *get_client_tls_args(
            insecure=config.runtime_certificates is None,
            root_certificates_path=config.runtime_root_certificates_path,
        ),
        *("--runtime-api-address", resolve_bind_address(f"{host}:{config.port}")),
        *("--parent-pid", str(os.getpid())),
        *(
            ["--allow-runtime-dependency-installation"]
            if config.runtime_dependency_install
            else []
        ),
    ]
    subprocess.Popen(command)


@contextmanager
def _maintenance(
    state: DurableNodeState, link: Link, steps: Steps, retention: Retention, pacing: Pacing
) -> Iterator[None]:
    def failed(error: BaseException) -> None:
        steps.failure = error
        pacing.hurry()

    maintenance = Maintenance(state, link, steps, retention, failed)
    maintenance.start()
    try:
        yield
    finally:
        maintenance.stop()


def _fab_check(trusted_entities: dict[str, str] | None) -> Callable[[Fab], str | None]:
    def problem(fab: Fab) -> str | None:
        if not trusted_entities or is_verified(fab, trusted_entities):
            return None
        return "The FAB could not be verified."

    return problem
