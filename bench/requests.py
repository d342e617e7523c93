"""How many requests a round costs, by what the servers log at level DEBUG."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from bench.federations import OURS, OUTPUT, STOCK, Contestant, federation, run
from bench.row import Row
from fedstate.local.federation import Federation

NODES = 3
# The rounds of a short run and of a long one. What a run begins and ends with is in both.
ROUNDS = {STOCK.name: (1, 3), OURS.name: (2, 12)}
_LOGGED = re.compile(r'"POST (/v1/[\w/-]+) HTTP')


def rows() -> Iterator[Row]:
    """Count, and yield a row for the SuperLink and one for a SuperNode."""
    counts: dict[str, _Counts] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary, _logging_requests():
        for contestant in (STOCK, OURS):
            with federation(contestant, NODES, Path(temporary)) as here:
                counts[contestant.name] = _counted(here, contestant)
    _write(counts)
    for place, what in enumerate(("SuperLink", "SuperNode")):
        ours, stock = (sum(counts[each.name][place].values()) for each in (OURS, STOCK))
        name = f"requests per round to the {what}, {NODES} nodes"
        yield Row(name, ours, stock, None, "requests")


# The requests to the SuperLink and to a SuperNode, by path.
_Counts = tuple[Mapping[str, float], Mapping[str, float]]


@contextmanager
def _logging_requests() -> Iterator[None]:
    with mock.patch.dict("os.environ", {"FLWR_LOG_LEVEL": "DEBUG"}):
        yield


def _counted(here: Federation, contestant: Contestant) -> _Counts:
    """Return the requests per round: those that a long run has more than a short one."""
    run(here, contestant, rounds=1)  # in which everything is imported
    short, long = ROUNDS[contestant.name]
    logged = [_logged(here)]
    for rounds in (short, long):
        run(here, contestant, rounds=rounds)
        logged.append(_logged(here))
    link, nodes = (
        {
            path: (after[path] - 2 * between[path] + before[path]) / (long - short)
            for path in after
        }
        for before, between, after in zip(*logged, strict=True)
    )
    return link, {path: count / NODES for path, count in nodes.items()}


def _logged(here: Federation) -> tuple[Counter[str], Counter[str]]:
    """Return the requests so far to the SuperLink, and to all SuperNodes."""
    link = Counter(_LOGGED.findall(here.superlink.log_file.read_text()))
    nodes: Counter[str] = Counter()
    for each in here.nodes:
        nodes += Counter(_LOGGED.findall(each.supernode.log_file.read_text()))
    return link, nodes


def _write(counts: Mapping[str, _Counts]) -> None:
    """Write what was counted, by path, beside the report."""
    lines = [
        f"{name}, {server}: {count:.2f} {path}"
        for name, both in counts.items()
        for server, counted in zip(("SuperLink", "a SuperNode"), both, strict=True)
        for path, count in sorted(counted.items(), key=lambda each: -each[1])
    ]
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "requests.txt").write_text("\n".join(lines) + "\n")
