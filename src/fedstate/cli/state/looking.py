"""Looking into a store: what is there, and what happened to it."""

import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedstate.cli.examples import examples
from fedstate.cli.human import human_ago, human_reason, human_seconds, human_size, human_time
from fedstate.cli.output import Column, Format, Shown, show_rows
from fedstate.cli.place import AnyRun, Key, Node, State, key_of, place_of
from fedstate.errors import FedstateError
from fedstate.store.step_rows import step_rows

if TYPE_CHECKING:
    from fedstate.inspection import Run
    from fedstate.store.read_only import ReadOnlyStore

app = typer.Typer()


def _time_of(text: str) -> str:
    return human_time(datetime.fromisoformat(text).timestamp())


def _ago(text: str | None) -> str:
    return human_ago(datetime.fromisoformat(text).timestamp(), time.time()) if text else ""


# How the table says in words what JSON and CSV call a status.
_FAILED, _REFUSED = "failed", "refused"
_WORDS = {"unknown": "not known to the SuperLink"}
_RUN_COLUMNS = (
    Column("run"),
    Column("status", text=lambda status: str(_WORDS.get(status, status))),
    Column("rounds", right=True),
    Column("steps", right=True),
    Column("failures", right=True),
    Column("size_bytes", "size", human_size, right=True),
    Column("last_step", "last step", _ago),
)


@app.command(
    "list",
    epilog=examples(
        "fedstate state list --node 2",
        "fedstate state list --state node.backup --format json",
    ),
)
def list_runs(
    state: State = None, node: Node = None, key: Key = None, shown: Shown = Format.TABLE
) -> None:
    """List the runs on a node: status, rounds, size of the state, last step, failures.

    A run is running, finished, or unknown to the SuperLink; failed, if it has finished after a
    step that failed; and refused, if the node has taken none of its messages.
    """
    from fedstate.inspection import open_store
    from fedstate.store.read_only import read_only

    place, secret = place_of(state, node), key_of(key)
    with open_store(place, secret) as store:
        rows = [_run_row(run) for run in store.runs]
    with read_only(place, secret) as plain:
        rows += [_refused_row(plain, int(run_id)) for run_id in plain.log().strays()]
    show_rows(rows, _RUN_COLUMNS, shown)


def _run_row(run: "Run") -> dict[str, Any]:
    last = run.last_step
    has_failed = run.status == "finished" and last is not None and last.failed
    return {
        "run": str(run.id),
        "status": _FAILED if has_failed else run.status,
        "rounds": run.rounds,
        "steps": run.steps,
        "failures": run.failures,
        "size_bytes": run.size,
        "last_step": None if last is None else last.time.isoformat(timespec="milliseconds"),
    }


def _refused_row(store: "ReadOnlyStore", run_id: int) -> dict[str, Any]:
    *_, last = rows = list(step_rows(store, [run_id]))
    counts = {"rounds": None, "steps": len(rows), "failures": len(rows), "size_bytes": 0}
    return {"run": str(run_id), "status": _REFUSED, **counts, "last_step": last["time"]}


_LOG_COLUMNS = (
    Column("time", text=_time_of),
    Column("run"),
    Column("step", right=True),
    Column("round", right=True),
    Column("action"),
    Column("outcome"),
    Column("app_seconds", "app", human_seconds, right=True),
    Column("commit_seconds", "commit", human_seconds, right=True),
    Column("state_bytes", "state", human_size, right=True),
    Column("new_bytes", "new", human_size, right=True),
    Column("reason", text=human_reason),
)


@app.command(
    epilog=examples(
        "fedstate state log --node 2 --failed",
        "fedstate state log 4711 --node 2",
        "fedstate state log 4711 --state node.backup --format csv",
    )
)
def log(
    run: AnyRun = None,
    state: State = None,
    node: Node = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Those that failed, and messages that were refused.")
    ] = False,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Show the node's log: all attempts at steps, the oldest first, with the reasons of failures.

    The SuperNode may run.
    """
    from fedstate.store.read_only import read_only
    from fedstate.verify.evidence import RunEvidence
    from fedstate.verify.selection import Selection

    place, secret = place_of(state, node), key_of(key)
    with read_only(place, secret) as store:
        there = [RunEvidence(chain.run_id) for chain in store.chains()]
        names = () if run is None else (run,)
        whose = f"The node store in '{place}'"
        run_ids = Selection(names, whose=whose).among(there) if names else []
        rows = list(step_rows(store, run_ids, failed=failed))
    show_rows(_with_rounds(rows, place, secret), _LOG_COLUMNS, shown)


def _with_rounds(
    rows: list[dict[str, Any]], place: Path, key: bytes | None
) -> list[dict[str, Any]]:
    """Fill in rounds that messages have not named and an app's ledger has, as `list` does."""
    from fedstate.inspection import open_store

    unnamed = {row["run"] for row in rows if row["message"] and not row["round"]}
    if not unnamed:
        return rows
    known: dict[tuple[str, int], int | None] = {}
    # A state that is damaged is no reason to be silent of what the log says.
    with suppress(FedstateError), open_store(place, key) as store:
        for run in store.runs:
            if str(run.id) in unnamed:
                known |= {(str(run.id), step.number): step.round for step in run.log}
    return [
        row if row["round"] else row | {"round": str(known.get((row["run"], row["step"])) or "")}
        for row in rows
    ]
