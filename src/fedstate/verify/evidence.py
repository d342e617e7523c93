"""What is known of runs, and from whom: the SuperLink, receipts, and the nodes' own logs."""

from dataclasses import dataclass, field

from fedstate.verify.told import ToldRun
from fedstate.witness import Receipt

# What a node said when it was asked for its log.
ANSWERED = "answered"
AWAY = "away"
SILENT = "silent"
WITHOUT_A_LOG = "without a log"
REFUSED = "failed"
NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class FormerKey:
    """A key that a node had before.

    Attributes
    ----------
    public_key : bytes
        The key (PEM).
    until : float
        The Unix time at which the SuperLink replaced it; infinite if nobody was asked.
    """

    public_key: bytes
    until: float


# Not frozen: that takes three times as long to make, and there are hundreds of thousands.
@dataclass(slots=True)
class Delivery:
    """A message that a node has pulled, by the SuperLink's account.

    Attributes
    ----------
    message_id, group_id, action : str
        As in the message's metadata.
    delivered_at, answered_at : float
        Unix times; `answered_at` is 0 if no reply was accepted.
    reply_id : str
        The ID of the reply, which is the digest of its content.
    failed : bool
        Whether the reply was an error.
    """

    message_id: str
    group_id: str
    action: str
    delivered_at: float
    answered_at: float = 0.0
    reply_id: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class HeldLog:
    """What a node knows of its log of one run, beside the rows.

    Attributes
    ----------
    present : bool
        Whether the node still has state of the run.
    complete : bool
        Whether the log has the run's first step.
    length, pruned : int
        How many rows there have been, and how many of them are not kept any longer.
    anchor, head : bytes
        The digests of the last row that is not kept and of the newest one.
    held : bytes
        The digest of the state of the run's series, computed when the node was asked.
    problem : str
        Why there is no such digest.
    """

    present: bool
    complete: bool
    length: int
    pruned: int = 0
    anchor: bytes = b""
    head: bytes = b""
    held: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a SuperLink whose account is bounded does not keep of a node in a run.

    Attributes
    ----------
    deliveries, receipts : int
        How many have gone: the oldest.
    store_id : str
        The store of which the last of these receipts is.
    step : int
        The greatest number of a step among the receipts of that store that have gone.
    anchor : bytes
        The digest of its row.
    """

    deliveries: int = 0
    receipts: int = 0
    store_id: str = ""
    step: int = 0
    anchor: bytes = b""

    def has(self, store_id: str, number: int) -> bool:
        """Whether the receipt of a step may be among those that have gone."""
        return self.store_id == store_id and number <= self.step


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What a node said when it was asked: `state` is one of the constants of this module.

    `store_id`, `opening` and `generation` are those of its store at that time.
    """

    state: str = NOT_ASKED
    problem: str = ""
    store_id: str = ""
    opening: bytes = b""
    generation: int = 0


@dataclass
class NodeEvidence:
    """All that is known of one node in one run.

    Attributes
    ----------
    node_id : int
        The node, as it authenticated itself at the SuperLink.
    deliveries : list of Delivery
        What it pulled, in this order.
    later : set of str
        The IDs of messages that it pulled while it was being asked.
    receipts : list of Receipt
        What came beside its replies, and the IDs of the messages that were replied to.
    rows : list of Receipt
        The rows of its log, in its order.
    log : HeldLog, optional
        What else its log says of the run.
    dropped : Dropped
        What the SuperLink does not keep any longer.
    """

    node_id: int
    deliveries: list[Delivery] = field(default_factory=list)
    later: set[str] = field(default_factory=set)
    receipts: list[Receipt] = field(default_factory=list)
    rows: list[Receipt] = field(default_factory=list)
    log: HeldLog | None = None
    dropped: Dropped = Dropped()


@dataclass
class RunEvidence:
    """All that is known of one run.

    Attributes
    ----------
    run_id, series_id : int
        The run, and its run series.
    status : str
        As ``flwr list`` shows it; ``unknown`` if no SuperLink was asked.
    submitted_at, finished_at : float
        Unix times; 0 if it is not there yet.
    nodes : dict of int to NodeEvidence
        The nodes that have pulled a message of it, or have rows of it.
    account_began_at : float
        Since when the SuperLink keeps an account of what it delivers.
    told : ToldRun, optional
        What its ServerApp recorded.
    told_problem : str
        Why that could not be read.
    witnessed : bool
        Whether the SuperLink keeps evidence at all.
    from_run : str, optional
        Which run's state it asked to begin with, by the SuperLink's account; empty if it asked
        for none, None if that is not known.
    node_alone : bool
        Whether it is what a node's store says, and no SuperLink was asked.
    """

    run_id: int
    series_id: int = 0
    status: str = "unknown"
    submitted_at: float = 0.0
    finished_at: float = 0.0
    nodes: dict[int, NodeEvidence] = field(default_factory=dict)
    account_began_at: float = 0.0
    told: ToldRun | None = None
    told_problem: str = ""
    witnessed: bool = True
    from_run: str | None = None
    node_alone: bool = False

    def node(self, node_id: int) -> NodeEvidence:
        """Return what is known of a node, to add to."""
        if (found := self.nodes.get(node_id)) is None:
            found = self.nodes[node_id] = NodeEvidence(node_id)
        return found

    @property
    def finished(self) -> bool:
        """Whether the run has ended, however it did."""
        return self.status.startswith("finished")


@dataclass
class Evidence:
    """Runs that are looked at together, and the nodes with their keys and answers.

    Attributes
    ----------
    runs : list of RunEvidence
        The runs.
    keys : dict of int to bytes
        Each node's public key (PEM), also of nodes that have left.
    answers : dict of int to NodeAnswer
        What each node said when it was asked.
    former_keys : dict of int to list of FormerKey
        The keys that each node had before, of those that had any.
    """

    runs: list[RunEvidence]
    keys: dict[int, bytes] = field(default_factory=dict)
    answers: dict[int, NodeAnswer] = field(default_factory=dict)
    former_keys: dict[int, list[FormerKey]] = field(default_factory=dict)

    def answer(self, node_id: int) -> NodeAnswer:
        """Return what a node said; that it was not asked, if nobody did."""
        return self.answers.get(node_id, NodeAnswer())
