"""Isolation: rows and receipts are of their run, node and key, and states stay in their run."""

from collections.abc import Iterator, Mapping

from fedstate.verify.evidence import NodeEvidence, RunEvidence
from fedstate.verify.findings import LOG, RECEIPTS, Finding, Level, Place, numbers, short
from fedstate.verify.persistence import Stray, stored_states
from fedstate.verify.signatures import Keys
from fedstate.verify.steps import NodeSteps, Step

_SIGNERS_SOUGHT = 20
_REPLACED = "a replaced key"


def isolation(run: RunEvidence, steps: NodeSteps, keys: Keys) -> Iterator[Finding]:
    """Find rows that are not of this run and node, or that its key has not signed."""
    node = steps.node
    place = Place(run.run_id, node.node_id)
    for text in steps.malformed:
        yield Finding("isolation", "malformed-row", Level.BROKEN, place, text)
    for step in steps.foreign:
        yield _foreign(run, node, step, place)
    if not steps.every:
        return
    if not keys.has(node.node_id):
        whose = "no public key was given" if run.node_alone else "the SuperLink has no key of it"
        yield Finding(
            "isolation",
            "no-key",
            Level.TOLD if run.node_alone else Level.UNKNOWN,
            place,
            f"{whose}: no signature was verified",
        )
        return
    unsigned = [step for step in steps.every if not step.vouched]
    if run.node_alone:
        # A SuperNode notes a signature when it has made it, which may be later.
        late = [step.number for step in unsigned if not step.receipt.signature]
        if late:
            text = f"the rows of steps {numbers(late)} have no signature yet"
            yield Finding("isolation", "not-signed-yet", Level.TOLD, place, text, late[0])
        unsigned = [step for step in unsigned if step.receipt.signature]
    by_signer: dict[str, list[Step]] = {}
    for index, step in enumerate(unsigned):
        # To find a signer, all keys are tried: of many rows with wrong signatures, for the first.
        signer = _signer(step, node.node_id, keys) if index < _SIGNERS_SOUGHT else ""
        by_signer.setdefault(signer, []).append(step)
    for signer, theirs in by_signer.items():
        which = numbers(step.number for step in theirs)
        rows = "the row of this step" if len(theirs) == 1 else f"the rows of steps {which}"
        is_are = "is" if len(theirs) == 1 else "are"
        if signer == _REPLACED:
            kind = "replaced-key"
            text = f"{rows} {is_are} signed with a key of the node that had been replaced"
        elif signer:
            kind, text = "foreign-key", f"{rows} {is_are} signed with the key of {signer}"
        else:
            kind = "not-signed-by-node"
            text = f"{rows} {is_are} not signed with the node's key: altered, or a stranger's"
        yield Finding(
            "isolation", kind, Level.BROKEN, place, text, theirs[0].number, _shown_by(theirs[0])
        )


def _signer(step: Step, node_id: int, keys: Keys) -> str:
    if step.receipt.signature and keys.is_of_replaced_key(step.receipt, node_id):
        return _REPLACED
    return keys.signer(step.receipt, node_id)


def _foreign(run: RunEvidence, node: NodeEvidence, step: Step, place: Place) -> Finding:
    record = step.record
    if record.run_id != run.run_id:
        kind, whose = "foreign-run", f"run {record.run_id}"
        if record.node_id != node.node_id:
            whose += f" on node {record.node_id}"
    else:
        kind, whose = "foreign-node", f"node {record.node_id}"
    what = "a receipt" if step.at_superlink else "a row of its log"
    text = f"{what} is of {whose} (step {record.run_sequence} there)"
    return Finding("isolation", kind, Level.BROKEN, place, text, 0, _shown_by(step))


def _shown_by(step: Step) -> tuple[str, ...]:
    shown = ((step.at_superlink, RECEIPTS), (step.in_log, LOG))
    return tuple(party for has, party in shown if has)


class States:
    """Who stored which state, over all runs: at most two runs for each."""

    def __init__(self) -> None:
        self._owners: dict[bytes, tuple[tuple[int, int, int], ...]] = {}

    def add(self, steps: NodeSteps) -> None:
        """Note what the steps of a node in a run have stored."""
        run_id, node_id, owners = steps.run_id, steps.node.node_id, self._owners
        for digest, number in stored_states(steps.chain):
            known = owners.get(digest)
            if known is None:
                owners[digest] = ((run_id, node_id, number),)
            elif len(known) < 2 and known[0][0] != run_id:
                owners[digest] = (*known, (run_id, node_id, number))

    def has_stored(self, digest: bytes, run_id: int) -> bool:
        """Whether a run is known to have stored a state, on whichever node.

        Of nodes that store equal states in a run, one is noted.
        """
        return run_id in (each[0] for each in self._owners.get(digest, ()))

    def is_common(self, digest: bytes) -> bool:
        """Whether more runs may have stored a state than are known to have."""
        return len(self._owners.get(digest, ())) > 1

    def leaks(self, strays: list[Stray]) -> Iterator[Finding]:
        """Find states that are not their run's: each stray one that another run has stored."""
        sources: dict[Stray, tuple[int, int, int]] = {}
        for stray in strays:
            for owner in self._owners.get(stray.digest, ()):
                if owner[0] != stray.place.run_id:
                    sources[stray] = owner
                    break
        pairs = {(stray.place.run_id, owner[0]) for stray, owner in sources.items()}
        for stray, (run_id, node_id, number) in sources.items():
            swapped = (run_id, stray.place.run_id) in pairs
            text = (
                f"the state {short(stray.digest)} is that which run {run_id} stored on "
                f"node {node_id} in step {number}"
            )
            if swapped:
                text += ", and that run has a state of this one: they were swapped"
            yield Finding(
                "isolation",
                "swapped-states" if swapped else "leaked-state",
                Level.BROKEN,
                stray.place,
                text,
                stray.step,
            )


class Stores:
    """Which nodes use which store, over all runs."""

    def __init__(self) -> None:
        self._users: dict[str, dict[int, Place]] = {}

    def add(self, store_id: str, node_id: int, place: Place) -> None:
        """Note that a node uses a store."""
        if not store_id:
            return
        users = self._users.setdefault(store_id, {})
        # A place in a run says more than the node alone.
        if node_id not in users or not users[node_id].run_id:
            users[node_id] = place

    def add_steps(self, steps: NodeSteps) -> None:
        """Note the stores of which a node shows rows."""
        place = Place(steps.run_id, steps.node.node_id)
        for store_id in {step.record.store_id for step in steps.every if step.vouched}:
            self.add(store_id, steps.node.node_id, place)

    def copies(self, keys: Mapping[int, bytes]) -> Iterator[Finding]:
        """Find stores that nodes with different keys use."""
        for store_id, users in self._users.items():
            if len({keys.get(node_id, b"%d" % node_id) for node_id in users}) < 2:
                continue
            nodes = ", ".join(str(node_id) for node_id in sorted(users))
            for place in users.values():
                yield Finding(
                    "isolation",
                    "copied-store",
                    Level.BROKEN,
                    place,
                    f"the nodes {nodes} use the same store {store_id[:8]}: it was copied",
                )
