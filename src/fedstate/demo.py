"""The main job in one go: two runs at once on a local federation, watched, verified, plotted."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fedstate.errors import EvidenceError, FederationError, SettingError
from fedstate.files import make_directory
from fedstate.flower.control import control
from fedstate.local.federation import Federation
from fedstate.local.runs import submit, wait_for_runs
from fedstate.plot import plot_losses
from fedstate.verify.report import COMPLETED, Report
from fedstate.verify.selection import Selection
from fedstate.verify.session import Session
from fedstate.verify.superlink import SuperLinkSource
from fedstate.verify.told import read_told

RUN_SECONDS = 900.0


def run_demo(
    app: Path, output: Path, *, nodes: int, rounds: int, seeds: Sequence[int], console: Console
) -> Report:
    """Run the app once for each seed, all at the same time, and verify what the nodes hold.

    Parameters
    ----------
    app : Path
        The Flower App's directory.
    output : Path
        Where ``report.json`` and ``loss.png`` go, and the federation's directory; what an
        earlier demo left there is replaced.
    nodes : int
        How many SuperNodes.
    rounds : int
        How many rounds each run has.
    seeds : sequence of int
        One run for each.
    console : Console
        Where progress is shown.

    Returns
    -------
    Report
        The verdict, also written to ``output``.

    Raises
    ------
    SettingError
        If there is no app.
    FederationError
        If the federation does not start, or another demo runs in the same directory.
    """
    if not (app / "pyproject.toml").is_file():
        raise SettingError(
            f"There is no Flower App in '{app}' (no pyproject.toml): give the directory of one."
        )
    with _only_one(output):
        directory = output / "federation"
        shutil.rmtree(directory, ignore_errors=True)
        with (
            console.status("") as status,
            Federation(directory, nodes=nodes, progress=status.update) as federation,
        ):
            status.update(f"starting {len(seeds)} runs")
            configs = [{"num-rounds": rounds, "seed": seed, "min-nodes": nodes} for seed in seeds]
            run_ids = [submit(federation, app, config) for config in configs]
            status.stop()
            statuses = _watch(federation, run_ids, rounds, console)
            if any(text != COMPLETED for text in statuses.values()):
                ended = ", ".join(f"{run_id} {text}" for run_id, text in statuses.items())
                raise FederationError(
                    f"The runs ended as: {ended}. {federation.serverapp_executor.log_end()}"
                )
            # While the nodes are there, which are asked for their logs.
            with control(federation.connection) as link:
                source = SuperLinkSource(link, federation.runs_directory)
                report = Session(source, Selection(tuple(map(str, run_ids)))).verify()
        (output / "report.json").write_text(json.dumps(report.to_json(), indent=2) + "\n")
        plot_losses(report, output / "loss.png")
    return report


def _watch(
    federation: Federation, run_ids: Sequence[int], rounds: int, console: Console
) -> dict[int, str]:
    """Show a bar for each run, or a line for each round where there is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bars = {
            run_id: progress.add_task(f"run {run_id}", total=rounds, note="starting")
            for run_id in run_ids
        }
        done = dict.fromkeys(run_ids, 0)

        def show(statuses: dict[int, str]) -> None:
            for run_id, status in statuses.items():
                now = _rounds_done(federation.runs_directory, run_id)
                if now != done[run_id] and not console.is_terminal:
                    console.print(f"run {run_id}: round {now} of {rounds}")
                done[run_id] = now
                _update(progress, bars[run_id], now, rounds, status)

        return wait_for_runs(federation, run_ids, RUN_SECONDS, show)


def _update(progress: Progress, bar: TaskID, done: int, rounds: int, status: str) -> None:
    progress.update(bar, completed=done, note=f"round {done}/{rounds}, {status}")
    if status.startswith("finished"):
        progress.stop_task(bar)


def _rounds_done(directory: Path, run_id: int) -> int:
    try:
        told = read_told(directory, run_id)
    except EvidenceError:
        return 0  # the ServerApp has begun this moment
    return told.rounds if told else 0


@contextmanager
def _only_one(output: Path) -> Iterator[None]:
    make_directory(output)
    with (output / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FederationError(
                f"Another demo is running in {output}; wait for it, or choose another --output."
            ) from None
        yield
