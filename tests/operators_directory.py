"""The directory in which the examples of every command's help are run, as they stand.

What an example may name:

``.fedstate``
    A local federation of two nodes with their states; it is down. The run that is under way has
    printed on the second node.
``state``, ``node.backup``
    The state directory of the second node, and a backup of it. The runs: ``4711...`` is under way
    and goes wrong on this node, ``1848...`` has ended, and ``9127...`` is of an app without
    fedstate's library and has ended.
``new.pub``, ``node.pub``, ``ca.crt``, ``accounts.toml``, ``superexec.secret``
    Public keys of nodes, an authority, accounts (``operator``, ``rosa``), a secret.
``authority``, ``superlink``, ``nodes``, ``identity``
    A certificate authority, a server's certificate, a directory that trusts the authority, and a
    node's key.
``old.key``, ``new.key``
    Encryption keys; ``encrypted`` is a state directory that is encrypted with ``old.key``.
"""

import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict

from fedstate.accounts.account import Role
from fedstate.accounts.changes import add_account
from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.certificates.keys import ensure_node_key, ensure_secret, fingerprint
from fedstate.flower.control import load_public_key
from fedstate.flower.stored_values import digest_of, encode_context
from fedstate.large.context import SplitContext
from fedstate.logs.lines import Line
from fedstate.logs.run_files import RunFile
from fedstate.state import ClientState, open_state
from fedstate.store.backup import back_up
from fedstate.store.logged_store import Failure
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value
from tests.unit.state.steps import make_message

GOING, ENDED, PLAIN = 4711082614935260417, 1848190217735512009, 9127443200163384221
NODES = (2301, 2302)
ROUNDS = 8
# On the second node, in the run that is under way: see docs/looking.md.
DIVERGED_ROUND, FAILED_ROUND = 5, 6
REASON = "<class 'ValueError'>:<'The loss of round 6 is not a number.'>"  # as Flower has it


split = SplitContext.split


def make(directory: Path) -> Path:
    """Make the directory, which is empty or missing; return it."""
    for number, node_id in enumerate(NODES, 1):
        home = directory / ".fedstate" / f"node-{number}"
        encoded = load_public_key(ensure_node_key(home))
        state = home / "flwr" / "fedstate" / "nodes" / "state"
        make_state(state, node_id, node=fingerprint(encoded))
    make_output(directory / ".fedstate" / "node-2" / "output")
    make_state(directory / "encrypted", NODES[0], key=b"\x01" * 32)
    shutil.copytree(state, directory / "state")
    back_up(directory / "state", directory / "node.backup")
    (directory / "old.key").write_text("01" * 32)
    (directory / "new.key").write_text("02" * 32)
    authority = ensure_authority(directory / "authority")
    for name in ("superlink", "nodes"):
        (directory / name).mkdir()
        ensure_server_certificate(directory / name, authority, ["link.example.org"])
    shutil.copy(directory / "authority" / "ca.crt", directory / "ca.crt")
    for name in ("node", "new"):
        key = ensure_node_key(directory / "keys" / name)
        shutil.copy(key, directory / f"{name}.pub")
    ensure_node_key(directory / "identity")
    ensure_secret(directory / "superexec.secret")
    for name, role in (("operator", Role.OPERATOR), ("rosa", Role.SUBMITTER)):
        add_account(directory / "accounts.toml", name, role)
    return directory


def make_output(directory: Path) -> None:
    """Make what the run that is under way has printed on a node."""
    directory.mkdir()
    output = RunFile(directory, GOING)
    labels = {"run": str(GOING), "round": str(DIVERGED_ROUND)}
    output.write([Line(1.8e9, "INFO", "clientapp", "loss 2000.0", labels)])
    output.end()


def make_state(
    directory: Path, node_id: int, *, node: str = "SHA256:node", key: bytes | None = None
) -> None:
    """Make a node's state directory with three runs."""
    with closing(NodeStore(directory, key=key)) as store:
        store.bind(node)
        store.keep = ROUNDS + 1  # also the state that a run began with
        for run_id in (PLAIN, ENDED, GOING):
            start(store, context_of(run_id, node_id))
        contexts = {run_id: context_of(run_id, node_id) for run_id in (PLAIN, ENDED, GOING)}
        for number in range(1, ROUNDS + 1):
            for run_id, context in contexts.items():
                attempt = Attempt(node_id, str(number), "train", digest_of(split(context)), 0.5)
                if _is_bad(run_id, node_id) and number == FAILED_ROUND:
                    fail(store, context, attempt, REASON)
                    continue
                step(context, number)
                commit(store, context, attempt)
        for run_id in (PLAIN, ENDED):
            store.finish_run(run_id)


def context_of(run_id: int, node_id: int) -> Context:
    """Return the Context with which a run begins."""
    return Context(run_id, node_id, {"partition-id": 1}, RecordDict(), {"rate": 0.1}, run_id)


def step(context: Context, number: int) -> None:
    """Change a Context as the step of a round does."""
    generator = np.random.default_rng(number)
    if context.run_id == PLAIN:
        head = generator.standard_normal((4, 3)).astype(np.float32)
        context.state["head"] = ArrayRecord({"kernel": Array(head)})
        context.state["metrics"] = MetricRecord({"loss": 1.0 / number})
        context.state["settings"] = ConfigRecord({"rounds": number})
        return
    diverged = _is_bad(context.run_id, context.node_id) and number >= DIVERGED_ROUND
    with open_state(make_message(number, context.run_id), context) as state:
        work(state, generator, number, 1e4 if diverged else 1.0)


def work(state: ClientState, generator: np.random.Generator, number: int, scale: float) -> None:
    """Do the step of a round: the body changes once, the head a little in each round."""
    if number == 1:
        state["body"] = {"kernel": generator.standard_normal((64, 32)).astype(np.float32)}
    kernel = np.random.default_rng(0).standard_normal((32, 10))
    kernel += 0.01 * generator.standard_normal((32, 10))
    bias = np.full(10, 0.01 * number, np.float32)
    state["head"] = {"kernel": (kernel * scale).astype(np.float32), "bias": bias}
    state["notes"] = {"round": number, "images": 5}
    state.history("loss").append(scale / number)


def _is_bad(run_id: int, node_id: int) -> bool:
    """Return whether a run goes wrong on a node: its head diverges, and a step fails then."""
    return (run_id, node_id) == (GOING, NODES[1])


def start(store: NodeStore, context: Context) -> None:
    """Let a run begin on a node."""
    run = StoredRun(context.run_id, context.series_id, "fab", None)
    store.add_run(run, Value(b"record"), Value(b"fab"), encode_context(split(context)))


def commit(store: NodeStore, context: Context, attempt: Attempt) -> None:
    """Commit a Context as the state of a round, and let the SuperLink have the reply."""
    message = f"{context.run_id}-{attempt.group_id}"
    store.receive(message, context.run_id, Value(b"message"))
    value = encode_context(split(context))
    store.commit(message, context.series_id, value, Value(b"reply"), attempt)
    store.answered(message, b"signature")


def fail(store: NodeStore, context: Context, attempt: Attempt, reason: str) -> None:
    """Let the step of a round fail."""
    message = f"{context.run_id}-{attempt.group_id}"
    store.receive(message, context.run_id, Value(b"message"))
    store.record_failure(message, Failure(context.run_id, reason, attempt))
    store.forget(message)
