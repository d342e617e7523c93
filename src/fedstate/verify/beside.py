"""What an app tells of itself, beside the evidence: and where that contradicts it."""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

from fedstate.verify.evidence import RunEvidence
from fedstate.verify.findings import CHECKS, RECORD, SUPERLINK, Finding, Level, Place
from fedstate.verify.told import Holding, ToldRun


def contradictions(
    run: RunEvidence, undone: Mapping[int, Collection[str]] = MappingProxyType({})
) -> Iterator[Finding]:
    """Find what a ServerApp's record says against the SuperLink's account, or against itself.

    The record is a file that the ServerApp has written; where it was overwritten, the replies in
    it are not those that the SuperLink has accepted.

    Parameters
    ----------
    run : RunEvidence
        The run.
    undone : mapping of int to collection of str
        For each node, the messages whose states its operator has taken back: its app's ledger
        has gone back with them.
    """
    if run.told_problem:
        yield Finding(
            "agreement",
            "record-unreadable",
            Level.UNKNOWN,
            Place(run.run_id),
            f"what its ServerApp has recorded cannot be read: {run.told_problem.rstrip('.')}",
        )
    if run.told is None:
        return
    if run.told.run_id != str(run.run_id):
        yield _found(run, None, f"the record names run {run.told.run_id}")
        return
    for holding, check, problem in ledger_problems(run.told, undone):
        yield _of_ledger(run, holding, check, problem)
    if not run.witnessed:
        return
    delivered = {
        (node.node_id, each.message_id): each
        for node in run.nodes.values()
        for each in node.deliveries
    }
    for reply in run.told.replies:
        if not reply.node_id.isdecimal():
            yield _found(run, None, f"the record names the node {reply.node_id!r}")
            continue
        node_id = int(reply.node_id)
        where = f"round {reply.round}"
        delivery = delivered.get((node_id, reply.message_id))
        later = run.nodes[node_id].later if node_id in run.nodes else set()
        if reply.error is not None or reply.message_id in later:
            continue  # what has no reply, may never have been delivered
        if delivery is None:
            text = "the record has a reply to a message that was not delivered"
        elif not delivery.answered_at:
            text = "the record has a reply, and none was accepted"
        elif reply.reply_id and reply.reply_id != delivery.reply_id:
            text = "the record has another reply than the one that was accepted"
        elif reply.commit and reply.commit.message_id != reply.message_id:
            text = "the record has an entry of another message"
        else:
            continue
        yield _found(run, node_id, f"{where}: {text}")


def _found(run: RunEvidence, node_id: int | None, text: str) -> Finding:
    return Finding(
        "agreement",
        "record-overwritten",
        Level.BROKEN,
        Place(run.run_id, node_id),
        text,
        0,
        (RECORD, SUPERLINK),
    )


def _of_ledger(run: RunEvidence, holding: Holding, check: str, problem: str) -> Finding:
    node_id = int(holding.node_id) if holding.node_id.isdecimal() else None
    place = Place(run.run_id, node_id)
    text = f"what its app has told of itself: {problem}"
    return Finding(check, "ledger", Level.BROKEN, place, text, 0, (RECORD,))


def ledger_problems(
    told: ToldRun, undone: Mapping[int, Collection[str]] = MappingProxyType({})
) -> Iterator[tuple[Holding, str, str]]:
    """Yield what is wrong with the ledgers that apps have told, with the check that it fails.

    For a run of Flower's Simulation Engine, where no SuperNode keeps a log, it is all there is.
    """
    for holding in told.holdings:
        previous = ""
        for position, entry in enumerate(holding.entries, start=1):
            if entry.sequence != position:
                text = f"entry {position} of its ledger has sequence {entry.sequence}"
                yield holding, "persistence", text
            if entry.parent != previous:
                text = f"by its ledger, step {position} did not load what the one before saved"
                yield holding, "persistence", text
            if (entry.run_id, entry.node_id) != (told.run_id, holding.node_id):
                text = f"its ledger has an entry of run {entry.run_id}, node {entry.node_id}"
                yield holding, "isolation", text
            previous = entry.digest
        if holding.entries and holding.digest != previous:
            yield holding, "persistence", "it holds another state than its ledger says"
        node_id = holding.node_id
        commits = {
            reply.message_id: reply.commit
            for reply in told.replies
            if reply.node_id == holding.node_id and reply.commit is not None
        }
        held = {entry.message_id: entry for entry in holding.entries}
        for message_id, commit in commits.items():
            taken_back = undone.get(int(node_id), ()) if node_id.isdecimal() else ()
            if held.get(message_id) != commit and message_id not in taken_back:
                text = f"round {commit.round}: its ledger lacks the entry that it had reported"
                yield holding, "agreement", text


def simulated(run: RunEvidence) -> Iterator[Finding]:
    """Judge a run of the Simulation Engine by what its apps have told.

    No check passes by that: of each it is said what the ledgers say of it, and that nobody else
    does.
    """
    place = Place(run.run_id)
    told = run.told
    text = "it ran in Flower's Simulation Engine, where no SuperNode keeps a log"
    if told is None or not any(holding.entries for holding in told.holdings):
        lacking = "left no record" if told is None else "recorded no ledger of its nodes"
        for check in CHECKS:
            said = f"{text}, and its ServerApp {lacking}"
            yield Finding(check, "no-log", Level.UNKNOWN, place, said)
        return
    problems = list(ledger_problems(told))
    for holding, check, problem in problems:
        yield _of_ledger(run, holding, check, problem)
    broken = {check for _, check, _ in problems}
    whole = {"completeness": f"{text}: what is known is what its apps have told"}
    for check, said in (_LEDGERS_SAY | whole).items():
        if check not in broken:
            yield Finding(check, "told-by-the-app-alone", Level.UNKNOWN, place, said)


# What the ledgers of a run say, if there is nothing wrong with them, of each check but one.
_LEDGERS_SAY = {
    "persistence": "not proven: its apps' own ledgers say so, and no node's log does",
    "isolation": "not proven: its apps' own ledgers name no other run, and nothing is signed",
    "agreement": "not proven: its apps' own ledgers have what was reported, unsigned",
}
