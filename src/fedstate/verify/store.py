"""A node alone: the rows of its log against each other and against what its store holds."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_public_key,
)

from fedstate.errors import CertificateError
from fedstate.flower.stored_values import describe_state
from fedstate.store.errors import DamagedValueError, StoreAccessError, StoreError
from fedstate.store.read_only import ReadOnlyStore, read_only
from fedstate.store.step_log import Chain
from fedstate.verify.evidence import (
    ANSWERED,
    Evidence,
    FormerKey,
    HeldLog,
    NodeAnswer,
    RunEvidence,
)
from fedstate.verify.report import Report
from fedstate.verify.selection import Selection
from fedstate.verify.verifier import Verifier
from fedstate.witness import Receipt


def verify_store(
    place: Path, key: bytes | None, public_keys: Sequence[Path], names: Sequence[str]
) -> Report:
    """Verify what a node's store, or a backup of one, says of itself.

    Nobody else is asked: a node that has written its log anew and signed it anew is believed, and
    so is a store that was put back to an older backup.

    Parameters
    ----------
    place : Path
        The state directory, of a SuperNode that runs or not, or the file of a backup.
    key : bytes, optional
        The encryption key.
    public_keys : sequence of Path
        The node's public key (OpenSSH), and those that it had before; without any, signatures
        are not verified. Nobody says until when which was the node's: each is good for all rows.
    names : sequence of str
        The first digits of the IDs of runs; without any, all runs.

    Raises
    ------
    StoreError
        The store cannot be read.
    CertificateError
        The public key cannot be read.
    EvidenceError
        The store has no such run.
    """
    encoded = [_encoded(file) for file in public_keys]
    with read_only(place, key) as store:
        chains = {chain.run_id: chain for chain in store.chains()}
        runs = [RunEvidence(run_id, store.series_of(run_id)) for run_id in chains]
        chosen = Selection(tuple(names), whose="The node's store").among(runs)
        about = store.about
        answer = NodeAnswer(ANSWERED, "", about.store_id, b"", about.generation)
        evidence = Evidence([])
        rows = {run.run_id: _rows(run.run_id, store) for run in runs}
        # Of a run that was freed no row says which node it was: the one that the others are of.
        otherwise = max(_node_of(found) for found, _ in rows.values()) if rows else 0
        for run in runs:
            node_id = _add(run, chains[run.run_id], store, *rows[run.run_id], otherwise)
            evidence.answers[node_id] = answer
            if encoded:
                evidence.keys[node_id] = encoded[0]
                evidence.former_keys[node_id] = [
                    FormerKey(each, math.inf) for each in encoded[1:]
                ]
            evidence.runs.append(run)
        verifier = Verifier()
        verifier.add(evidence, set(chosen))
        return verifier.finish()


def receipts_of(place: Path, key: bytes | None, names: Sequence[str]) -> Iterator[Receipt]:
    """Yield the receipts that a node has of its steps, run by run, as it keeps them.

    A SuperLink of ours has them, too; with Flower's own they are on the node alone. A row that is
    not signed yet has an empty signature.

    Parameters
    ----------
    place, key, names
        As for `verify_store`.

    Raises
    ------
    StoreError
        The store cannot be read.
    EvidenceError
        The store has no such run.
    """
    with read_only(place, key) as store:
        runs = [RunEvidence(chain.run_id) for chain in store.chains()]
        for run_id in Selection(tuple(names), whose="The node's store").among(runs):
            try:
                yield from store.log().of_run(run_id)
            except DamagedValueError as error:
                raise StoreError(f"The log in '{place}' is damaged: {error}.") from error


def _rows(run_id: int, store: ReadOnlyStore) -> tuple[list[Receipt], str]:
    """Return the rows of a run, and why they cannot be read."""
    try:
        return list(store.log().of_run(run_id)), ""
    except StoreAccessError:
        raise
    except (DamagedValueError, StoreError) as error:
        return [], str(error)


def _node_of(rows: Sequence[Receipt]) -> int:
    """Return the node that rows of a run say they are of; 0 if there is none."""
    return next((row.record.node_id for row in rows if row.row), 0)


def _add(
    run: RunEvidence,
    chain: Chain,
    store: ReadOnlyStore,
    rows: list[Receipt],
    problem: str,
    otherwise: int,
) -> int:
    """Add what the store has of a run; return the node that it says it is, or `otherwise`."""
    run.status = "ended" if store.has_ended(run.run_id) else "open"
    run.witnessed = False
    run.node_alone = True
    try:
        held = store.held(run.run_id, None if problem else describe_state)
        problem = problem or held.problem
    except StoreAccessError:
        # Which says nothing of what the node has kept.
        raise
    except (DamagedValueError, StoreError) as error:
        held, problem = store.held(run.run_id), str(error)
    node_id = _node_of(rows) or otherwise
    node = run.node(node_id)
    node.rows = rows
    node.log = HeldLog(
        present=held.present,
        complete=chain.complete,
        length=chain.length,
        pruned=chain.pruned,
        anchor=chain.anchor,
        head=chain.head,
        held=held.digest,
        problem=problem,
    )
    return node_id


def _encoded(file: Path) -> bytes:
    try:
        key = load_ssh_public_key(file.read_bytes())
    except FileNotFoundError:
        raise CertificateError(f"The public key '{file}' is missing.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"'{file}' is not an OpenSSH public key.") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateError(f"'{file}' is not an elliptic-curve key.")
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
