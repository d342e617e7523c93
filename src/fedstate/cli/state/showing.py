"""``fedstate state show``: what a run's state holds, value by value."""

import json
import math
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedstate.cli.examples import examples
from fedstate.cli.human import SPARKS, human_ago, human_size, human_time, sparkline
from fedstate.cli.output import Column, Format, Shown, show_rows
from fedstate.cli.place import Key, Node, RunState, State, key_of, place_of
from fedstate.errors import FedstateError

if TYPE_CHECKING:
    from fedstate.inspection import Run, Value
    from fedstate.inspection import State as RunsState

app = typer.Typer()

_CSV_COLUMNS = (
    *("name", "type", "shape", "dtype", "size_bytes"),
    *("changed_step", "changed_at", "content"),
)


def _time_of(text: str) -> str:
    return human_time(datetime.fromisoformat(text).timestamp())


# What is shown as it is: a larger value would hide the others.
_SMALL_BYTES = 256
# How many kept states are gone through for when a value has changed.
_STATES = 100


@app.command(
    epilog=examples(
        "fedstate state show 4711 --node 2",
        "fedstate state show 4711@3 --node 2",
        "fedstate state show 4711 --state node.backup --format json",
    )
)
def show(
    run: RunState,
    state: State = None,
    node: Node = None,
    key: Key = None,
    shown: Shown = Format.TABLE,
) -> None:
    """Show the values of a run's state: what they are, how large, and when they have changed.

    The code of the app is not needed: a value of a type of its own is shown as what it is stored
    as. The end of a history is drawn.
    """
    from fedstate.inspection import open_store

    with open_store(place_of(state, node), key_of(key)) as store:
        of_run = store.runs[run.partition("@")[0]]
        there = store.state(run)
        changes = _changes(of_run, there)
        rows = [_row(value, changes[value.name]) for value in there.values.values()]
        if shown is Format.JSON:
            rows = [row | {"content": _finite(row["content"])} for row in rows]
            typer.echo(json.dumps({**_about(of_run, there), "values": rows}))
            return
        if shown is Format.CSV:
            written = [row | {"content": _written(row["content"])} for row in rows]
            show_rows(written, _CSV_COLUMNS, shown)
            return
        typer.echo(_sentence(of_run, there))
        columns = (
            *("name", "type", "shape", "dtype"),
            Column("size_bytes", "size", human_size, right=True),
            Column("changed"),
            Column("changed_at", "at", _time_of),
            Column("content", text=_drawn),
        )
        show_rows((row | {"changed": changes[row["name"]].text} for row in rows), columns)
        if of_run.failures:
            typer.echo(
                f"{of_run.failures} of {of_run.steps} steps have failed: "
                f"`fedstate state log {of_run.id}{_where(state, node, key)} --failed` has the "
                "reasons."
            )


@dataclass(frozen=True)
class _Change:
    """When a value has changed: by a step, or at the latest by it, and when that was."""

    step: int
    exact: bool
    time: datetime

    @property
    def text(self) -> str:
        if not self.step:
            return "as it began"
        return f"step {self.step}" if self.exact else f"by step {self.step}"


def _about(run: "Run", state: "RunsState") -> dict[str, Any]:
    return {
        "run": str(run.id),
        "status": run.status,
        "node_id": str(state.node_id),
        "state": state.number,
        "stored": state.committed_at.isoformat(timespec="milliseconds"),
        "size_bytes": state.size,
        "run_config": state.run_config,
        "node_config": state.node_config,
    }


def _sentence(run: "Run", state: "RunsState") -> str:
    stored = human_ago(state.committed_at.timestamp(), time.time())
    which = f"the state of step {state.number}" if state.number else "the state it began with"
    return f"Run {run.id}, {run.status}: {which}, stored {stored}, {human_size(state.size)}."


def _changes(run: "Run", state: "RunsState") -> dict[str, _Change]:
    """Return for each value which step has changed it.

    Only kept states tell that: where they do not go back far enough, it was that step or one
    before it.
    """
    left, found = dict(state.values), dict[str, _Change]()
    later = state
    before = [kept for kept in run.states if kept.generation < state.generation]
    for kept in reversed(before[-_STATES:]):
        earlier = run.state(kept.number)
        for name in [each for each in left if not _same(left[each], earlier.values)]:
            found[name] = _Change(later.number, True, later.committed_at)
            del left[name]
        if not left:
            break
        later = earlier
    return found | dict.fromkeys(left, _Change(later.number, False, later.committed_at))


def _same(value: "Value", before: "Mapping[str, Value]") -> bool:
    return value.name in before and value.same_content(before[value.name])


def _row(value: "Value", change: _Change) -> dict[str, Any]:
    return {
        "name": value.name,
        "type": value.type,
        "shape": value.shape_text,
        "dtype": value.dtype,
        "size_bytes": value.size,
        "changed_step": change.step if change.exact else None,
        "changed_at": change.time.isoformat(timespec="milliseconds"),
        "content": _content(value),
    }


def _content(value: "Value") -> Any:
    """Return the end of a history, and a small value as a whole; otherwise None."""
    try:
        if value.is_history:
            return [float(each) for each in value.history().values[-SPARKS:]]
        if value.size <= _SMALL_BYTES and not value.arrays:
            return _plain(value.load_stored())
    except FedstateError as error:
        return f"cannot be read: {error}"
    return None


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    return json.loads(json.dumps(value, default=repr))


def _finite(content: Any) -> Any:
    """Return a content as JSON has it, which knows neither infinity nor what is no number."""
    if isinstance(content, list):
        return [_finite(each) for each in content]
    if isinstance(content, dict):
        return {key: _finite(each) for key, each in content.items()}
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _drawn(content: Any) -> str:
    """Return what a table shows of a content."""
    if isinstance(content, dict):
        return ", ".join(f"{key} {_drawn(each)}" for key, each in content.items())
    if isinstance(content, list) and content and all(map(_is_number, content)):
        return f"{sparkline(content)} {content[-1]:.6g}"
    if isinstance(content, float):
        return f"{content:.6g}"
    return _written(content)


def _written(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return json.dumps(content)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _where(state: Path | None, node: int | None, key: Path | None) -> str:
    """Return the options that name the store again, as a shell reads them."""
    options = {"--state": state, "--node": node, "--state-key": key}
    given = {name: value for name, value in options.items() if value is not None}
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in given.items())
