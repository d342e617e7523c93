"""The federations that are compared, and what is read off them."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedstate.errors import FederationError
from fedstate.local import programs
from fedstate.local.execute import Start
from fedstate.local.federation import Federation
from fedstate.local.process import Process
from fedstate.local.programs import Programs
from fedstate.local.runs import submit, wait_for_runs

APP = Path(__file__).parent / "app"
TORCH_APP = Path(__file__).parent / "torch_app"
OUTPUT = Path("out/bench")
RUN_SECONDS = 900.0
TICKS_PER_SECOND = 100

# Starts a run of an app with a run config; returns its ID.
Begin = Callable[[Federation, Path, Mapping[str, int | float | str]], int]

_EXECUTOR = ("fedstate", "executor", "--preload", "tensorflow,keras,sklearn.datasets")


@dataclass(frozen=True)
class Contestant:
    """A kind of federation: what it is made of, and whether its ServerApps use our Grid."""

    name: str
    programs: Programs
    polling: bool


STOCK = Contestant("stock", programs.STOCK, polling=False)
OURS = Contestant(
    "ours",
    Programs(
        serverapp_executor=_EXECUTOR,
        clientapp_executor=_EXECUTOR,
    ),
    polling=True,
)


@dataclass(frozen=True)
class Run:
    """One run, as its ServerApp timed it; `ended` has seconds since the epoch."""

    run_id: int
    submitted: float
    ended: list[float]

    @property
    def rounds(self) -> list[float]:
        """Seconds that each round took."""
        return [end - begin for begin, end in zip(self.ended, self.ended[1:], strict=False)]


@contextmanager
def federation(
    contestant: Contestant, nodes: int, directory: Path, start: Start | None = None
) -> Iterator[Federation]:
    """Start a federation with nothing in it, and stop it at the end."""
    here = directory / f"{contestant.name}-{nodes}"
    shutil.rmtree(here, ignore_errors=True)
    with Federation(here, nodes=nodes, programs=contestant.programs, start=start) as started:
        yield started


def run(
    here: Federation,
    contestant: Contestant,
    *,
    rounds: int,
    megabytes: float = 0.1,
    app: Path = APP,
) -> Run:
    """Run a bench app once, and wait for its end."""
    return run_at_once(here, contestant, 1, rounds=rounds, megabytes=megabytes, app=app)[0]


def run_at_once(
    here: Federation,
    contestant: Contestant,
    count: int,
    *,
    rounds: int,
    megabytes: float = 0.1,
    app: Path = APP,
    begin: Begin = submit,
) -> list[Run]:
    """Run a bench app `count` times at once, and wait for all to end.

    They are started with ``flwr run``, which takes seconds, or with what `begin` is.

    Raises
    ------
    FederationError
        If a run does not complete.
    """
    config = {
        "num-rounds": rounds,
        "num-nodes": len(here.nodes),
        "megabytes": megabytes,
        "polling": contestant.polling,
    }
    submitted = time.time()
    run_ids = [begin(here, app, config) for _ in range(count)]
    try:
        statuses = wait_for_runs(here, run_ids, RUN_SECONDS)
    except FederationError as error:
        raise FederationError(f"{error} They are kept in {_keep_logs(here)}.") from error
    if any(status != "finished:completed" for status in statuses.values()):
        raise FederationError(
            f"A run of the {contestant.name} federation did not complete "
            f"({', '.join(statuses.values())}); the logs are in {_keep_logs(here)}."
        )
    return [Run(run_id, submitted, _times(here, run_id)) for run_id in run_ids]


def cpu_seconds(process: Process) -> float:
    """Return the CPU time of a process and everything it has started, ended children included."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile, and its parent counts it
        if int(fields[3]) == process.pid:
            total += sum(int(field) for field in fields[11:15])
    return total / TICKS_PER_SECOND


def memory_megabytes(process: Process) -> float:
    """Return the memory of a process and everything it has started, shared pages once."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[3]) != process.pid:
                continue
            rollup = (stat.parent / "smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if "Pss:" in line)
    return total / 1000


def _keep_logs(here: Federation) -> Path:
    """Copy what a federation has logged to where it outlives the federation's directory."""
    kept = OUTPUT / "failed" / here.directory.name
    for log in here.directory.rglob("log"):
        copy = kept / log.relative_to(here.directory)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, copy)
    return kept


def _times(here: Federation, run_id: int) -> list[float]:
    file = here.runs_directory / str(run_id) / "bench.json"
    return [float(end) for end in json.loads(file.read_text())]
