"""A SuperNode whose state survives: flwr's parts, put together around the node store.

The main loop of `flower-supernode` polls every 3 s, runs one message at a time over all runs, and
sends a reply before the state is stored; this one has none of it.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)

from fedstate.certificates.keys import ensure_node_key
from fedstate.certificates.keys import fingerprint as key_fingerprint
from fedstate.errors import SettingError
from fedstate.flower.clients import PATIENCE_SECONDS, FleetApi
from fedstate.flower.errors import RefusedError, UnauthorizedError, UnreachableError
from fedstate.flower.nodestate import DurableNodeState, durable_node_state
from fedstate.flower.own_key import KeyPair, OwnKey
from fedstate.flower.programs import (
    end_supernode_at_signals,
    executor_command,
    normal_address,
)
from fedstate.flower.supernode_options import SuperNodeSettings
from fedstate.logs import logger, of_node
from fedstate.serving.limits import Limits
from fedstate.store.node_store import NodeStore
from fedstate.store.retention import Retention
from fedstate.store.room import RESERVE_BYTES
from fedstate.supernode.admission import Admission
from fedstate.supernode.backups import Backups, Schedule
from fedstate.supernode.beginnings import Beginnings, FromRun
from fedstate.supernode.link import Link
from fedstate.supernode.log_answers import LogAnswers
from fedstate.supernode.maintenance import Maintenance
from fedstate.supernode.membership import Membership, Patience
from fedstate.supernode.output import output_of, place_output
from fedstate.supernode.own_socket import own_socket
from fedstate.supernode.ownership import Ownership
from fedstate.supernode.pacing import Pacing
from fedstate.supernode.runs import Runs
from fedstate.supernode.runtime_api import runtime_api
from fedstate.supernode.screening import Allowed, Screening
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
        Maximum poll interval when idle, for a SuperLink without notifications.
    keep_log : int, optional
        How many steps of each run the log keeps; None for all.
    limits : Limits
        What is granted to whoever connects to the Runtime API.
    allow : Path, optional
        The list of the apps that may run; None for all apps.
    keep : int
        How many states of each run are kept, the present one included.
    from_run : FromRun
        Whose state a run may begin with, if it asks for it.
    reserve : int
        The bytes on the state's disk that are kept for freeing states when it is full.
    backups : Schedule, optional
        When the state is backed up, and where to; None for no backups.
    output : Path, optional
        Where the executor keeps what runs print; without it, below the state directory.
    socket : Path, optional
        The Unix socket on which the Runtime API is served, too; without it, one below the state
        directory if the SuperNode starts its executor itself.
    """

    state: Path
    key: bytes | None = None
    retention: Retention = field(default_factory=Retention)
    concurrency: int = 4
    poll_seconds: float = 1.0
    keep_log: int | None = None
    limits: Limits = field(default_factory=Limits)
    allow: Path | None = None
    keep: int = 1
    from_run: FromRun = FromRun.NEVER
    reserve: int = RESERVE_BYTES
    backups: Schedule | None = None
    output: Path | None = None
    socket: Path | None = None


_RETRY_SECONDS = 1.0
_END_SECONDS = 5.0


def run_supernode(settings: SuperNodeSettings, durable: DurableSettings) -> None:
    """Run a SuperNode until SIGTERM or SIGINT.

    Raises
    ------
    FedstateError
        The store or the connection cannot be used; the message says how to go on.
    """
    if settings.insecure and settings.keys is not None:
        raise SettingError(
            "A SuperNode with --auth-supernode-private-key needs TLS: leave out --insecure and "
            "give --root-certificates."
        )
    allowed = Allowed(durable.allow) if durable.allow else None
    screening = Screening(settings.trusted_entities, allowed)
    if durable.backups:
        durable.backups.check()
    with _ending_in_time(), ExitStack() as stack:
        store = NodeStore(durable.state, key=durable.key, reserve=durable.reserve)
        store.keep_log, store.keep = durable.keep_log, durable.keep
        stack.callback(store.close)
        output = place_output(durable.state, durable.output)
        keys = settings.keys or _own_keys(durable.state)
        own_key = OwnKey(keys, settings.key_file_of_node)
        ownership = Ownership(store, fingerprint(keys[1]))
        own_key.on_change = lambda pair: ownership.pass_on(fingerprint(pair[1]))
        # What is encrypted on the disk is not to be there in another file as it is.
        state = durable_node_state(store, files=durable.key is None)
        end_supernode_at_signals(settings.health_address)
        api = _fleet_api(settings, own_key)
        membership = Membership(
            api,
            SessionFile(durable.state / "session", PATIENCE_SECONDS),
            register=settings.keys is None and not ownership.contested,
            patience=Patience(settings.max_retries, settings.max_wait_time),
        )
        link = Link(api, membership, own_key)
        pacing = Pacing(durable.poll_seconds)
        steps = Steps(
            state,
            link,
            admission=Admission(
                *(state, link, settings.node_config, screening, lambda: screening.rules),
                Beginnings(state, durable.from_run),
            ),
            concurrency=durable.concurrency,
            on_change=pacing.hurry,
            runs=Runs(store.runs()),
        )
        answers = LogAnswers(store, link)
        stack.callback(answers.close)
        link.on_log_requests = answers.take
        link.have = steps.before_reply
        stack.callback(_leave, membership, steps)
        backups = Backups(store, durable.backups) if durable.backups else None
        api_problems = backups.problems if backups else list[str]
        socket = durable.socket
        if socket is None and settings.starts_executor:
            socket = own_socket(durable.state)
        stack.enter_context(
            runtime_api(settings, state, steps, durable.limits, api_problems, socket)
        )
        if settings.starts_executor:
            _start_executor(settings, output, socket)
        ownership.settle(membership, state)
        state.set_node_id(membership.node_id)
        of_node(membership.node_id)
        logger.info("SuperNode ID: %s", membership.node_id)
        if backups:
            stack.enter_context(backups.running())
        stack.enter_context(_maintenance(state, link, steps, durable, pacing))
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
            ended = link.take(steps.receive, steps.runs.going())
            if ended is None:  # a SuperLink of Flower's own, or of an older release
                if link.receive(steps.receive):
                    pacing.hurry()
                    continue
                ended = link.wait_for_messages(steps.runs.going())
            if ended is not None:
                for run_id in ended:
                    steps.end_run(run_id)
                continue
        except UnauthorizedError:
            raise
        except (RefusedError, UnreachableError) as error:
            if not error.said:
                logger.warning("%s Trying again.", error)
            pause.wait(_RETRY_SECONDS)
        pacing.wait()


def fingerprint(public_key: ec.EllipticCurvePublicKey) -> str:
    """Return the short form of a node's public key: SHA256 in base64."""
    return key_fingerprint(
        public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


def _own_keys(directory: Path) -> KeyPair:
    """Return a key pair that stays with the state, for a SuperLink without authentication.

    flwr makes a new one at every start, and with it a new node without a past.
    """
    ensure_node_key(directory)
    private_key = load_ssh_private_key((directory / "node.key").read_bytes(), None)
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise SettingError(f"'{directory / 'node.key'}' is not an elliptic-curve key.")
    return private_key, private_key.public_key()


def _fleet_api(settings: SuperNodeSettings, own_key: OwnKey) -> FleetApi:
    address = normal_address(settings.superlink)
    if address is None:
        raise SettingError(
            f"--superlink has the value '{settings.superlink}', which is not HOST:PORT."
        )
    return FleetApi(
        address,
        own_key,
        insecure=settings.insecure,
        root_certificates=settings.root_certificates,
    )


def _start_executor(settings: SuperNodeSettings, output: Path, socket: Path | None) -> None:
    command = executor_command(
        settings.host,
        settings.port,
        tls=settings.certificate_file is not None,
        authority_file=settings.authority_file,
        installs_dependencies=settings.installs_dependencies,
        output=output,
        socket=socket,
    )
    subprocess.Popen(command)


@contextmanager
def _maintenance(
    state: DurableNodeState, link: Link, steps: Steps, durable: DurableSettings, pacing: Pacing
) -> Iterator[None]:
    def failed(error: BaseException) -> None:
        steps.failure = error
        pacing.hurry()

    maintenance = Maintenance(
        state,
        link,
        durable.retention,
        steps=steps,
        on_failure=failed,
        output=output_of(durable.state),
    )
    maintenance.start()
    try:
        yield
    finally:
        maintenance.stop()
