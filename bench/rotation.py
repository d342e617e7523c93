"""What four runs lose while all certificates, the authority and all node keys are replaced.

Two kinds of four runs take turns: with a rotation under them, and without. The rotation begins
once each run has had an answer, and has to be over before the last has ended.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench.federations import OURS, federation, run_at_once
from bench.row import Row
from fedstate.certificates.keys import replace_node_key
from fedstate.certificates.renewal import drop_old_authority, renew, replace_authority
from fedstate.errors import FederationError
from fedstate.flower.control import Control, control
from fedstate.flower.control_nodes import replace_key
from fedstate.local.execute import execute
from fedstate.local.federation import Federation
from fedstate.local.runs import start
from fedstate.verify.selection import Selection
from fedstate.verify.session import Session
from fedstate.verify.superlink import SuperLinkSource, gather
from fedstate.waiting import wait_until

RUNS, NODES = 4, 3
GOAL_SECONDS = 1.0
# What a measurement of seconds cannot tell from nothing.
_LEAST_SECONDS = 0.01
_BEGIN_SECONDS, _POLL_SECONDS = 60.0, 0.1


def rows() -> Iterator[Row]:
    """Measure, and yield each row as soon as it stands; environment `QUICK=1` measures less."""
    turns, rounds = (1, 10) if os.environ.get("QUICK") else (5, 12)
    without: list[float] = []
    under: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as temporary,
        federation(OURS, NODES, Path(temporary), execute) as here,
    ):
        run_at_once(here, OURS, RUNS, rounds=1)  # from here on every program has started
        for _ in range(turns):
            without.append(_seconds(here, rounds))
            under.append(_rotated(here, rounds))
    quiet, rotated = median(without), median(under)
    yield Row(
        f"what a rotation of all certificates and keys adds to {RUNS} runs ({rotated:.1f} s "
        f"against {quiet:.1f} s, no failed step), against 1 s",
        max(rotated - quiet, _LEAST_SECONDS),
        GOAL_SECONDS,
        1.0,
        "s",
    )


def _seconds(here: Federation, rounds: int) -> float:
    """Return how long runs take from their submission to the end of the last round of all."""
    runs = run_at_once(here, OURS, RUNS, rounds=rounds, begin=start)
    return max(run.ended[-1] for run in runs) - min(run.submitted for run in runs)


def _rotated(here: Federation, rounds: int) -> float:
    """Return the same of runs under which everything is replaced.

    Raises
    ------
    FederationError
        A step has failed, or the rotation was not over when the runs were.
    """
    with control(here.connection) as link, ThreadPoolExecutor(1, "rotation") as pool:
        source = SuperLinkSource(link, here.runs_directory)
        before = {run.run_id for run in source.runs()}
        rotation: Future[float] = pool.submit(_rotate, here, link, before)
        seconds = _seconds(here, rounds)
        ended = time.time()
        if rotation.result() > ended:
            raise FederationError("The runs were over before the rotation was: give more rounds.")
        new = [str(run.run_id) for run in source.runs() if run.run_id not in before]
        report = Session(source, Selection(tuple(new))).verify()
    failed = sum(node.failed for run in report.runs for node in run.nodes)
    if failed or report.exit_code:
        found = next(map(str, report.findings), "")
        raise FederationError(f"{failed} steps failed under the rotation. {found}")
    return seconds


def _rotate(here: Federation, link: Control, before: set[int]) -> float:
    """Replace everything as an operator does, once new runs are on their way; return when."""
    if not wait_until(
        lambda: _under_way(link, before), _BEGIN_SECONDS, poll_seconds=_POLL_SECONDS
    ):
        raise FederationError("The runs have not begun.")
    authority = here.directory / "authority"
    directories = [here.directory / "superlink", *(node.directory for node in here.nodes)]
    renew(directories, authority, force=True)
    replace_authority(directories, authority)
    _replace_keys(here, link)
    # Between the two steps an operator lets everybody see the new authority.
    if not wait_until(lambda: _has_reached_tasks(here), _BEGIN_SECONDS):
        raise FederationError("The new authority has not reached the runs.")
    drop_old_authority(directories, authority)
    return time.time()


def _has_reached_tasks(here: Federation) -> bool:
    trusted = here.root_certificates.read_bytes()
    copies = here._rooms.directory.glob("*/*/ca.crt")  # noqa: SLF001  nobody else has to know
    return all(copy.read_bytes() == trusted for copy in copies)


def _replace_keys(here: Federation, link: Control) -> None:
    ids = {known.public_key: known.node_id for known in link.nodes()}
    for node in here.nodes:
        node_id = ids[node.public_key]
        replace_key(link, node_id, replace_node_key(node.directory))


def _under_way(link: Control, before: set[int]) -> bool:
    """Whether as many runs as there are to be have each had an answer."""
    run_ids: Sequence[int] = [each for each in link.run_statuses() if each not in before]
    if len(run_ids) < RUNS:
        return False
    runs = gather(link.evidence(run_ids, ask_nodes=False)).runs
    return all(
        any(each.answered_at for node in run.nodes.values() for each in node.deliveries)
        for run in runs
    )
