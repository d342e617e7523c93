"""Starting runs with ``flwr run`` and waiting for them."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fedstate.connection import Connection
from fedstate.errors import FederationError
from fedstate.flower.control import control
from fedstate.pace import Pace
from fedstate.waiting import wait_until

SUBMIT_SECONDS = 120.0
# For each run that is waited for, and growing: every look is a request to the SuperLink.
POLL_SECONDS, LONGEST_POLL_SECONDS = 0.2, 2.0


class Reachable(Protocol):
    """A federation that runs can be started on, in processes or in containers."""

    @property
    def directory(self) -> Path:
        """Where to look when a run does not end."""

    @property
    def connection(self) -> Connection:
        """The SuperLink's connection."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment in which ``flwr`` finds that connection."""


def submit(
    federation: Reachable, app: Path, run_config: Mapping[str, int | float | str] | None = None
) -> int:
    """Start a run with the stock ``flwr run``.

    Parameters
    ----------
    federation : Reachable
        Where it runs.
    app : Path
        The Flower App's directory.
    run_config : mapping, optional
        Overrides of the app's run config.

    Returns
    -------
    int
        The run's id.

    Raises
    ------
    FederationError
        If ``flwr run`` refuses it, with what it says.
    """
    pairs = " ".join(f"{key}={_toml(value)}" for key, value in (run_config or {}).items())
    command = ["flwr", "run", str(app), federation.connection.name, "--format", "json"]
    answer = subprocess.run(
        [*command, *(["--run-config", pairs] if pairs else [])],
        env=federation.environment,
        capture_output=True,
        text=True,
        timeout=SUBMIT_SECONDS,
        check=False,
    )
    try:
        return int(json.loads(answer.stdout)["run-id"])
    except (ValueError, KeyError):
        said = (answer.stdout + answer.stderr).strip()
        raise FederationError(f"`{' '.join(command)}` did not start a run: {said}") from None


def start(
    federation: Reachable, app: Path, run_config: Mapping[str, int | float | str] | None = None
) -> int:
    """Start a run as `submit` does, without the 3 s that ``flwr run`` takes to begin.

    Raises
    ------
    FederationError
        If the SuperLink refuses it.
    """
    with control(federation.connection) as link:
        return link.start_run(app, run_config or {})


def wait_for_runs(
    federation: Reachable,
    run_ids: Sequence[int],
    seconds: float,
    progress: Callable[[dict[int, str]], None] = lambda _: None,
) -> dict[int, str]:
    """Wait until runs have finished, however they ended.

    Returns
    -------
    dict of int to str
        The status of each, such as ``finished:completed``.

    Raises
    ------
    FederationError
        If they are not finished within ``seconds``.
    """
    statuses: dict[int, str] = {}
    with control(federation.connection) as link:

        def finished() -> bool:
            nonlocal statuses
            ended = {run_id: each for run_id, each in statuses.items() if _is_over(each)}
            statuses = {each: ended.get(each) or link.run_status(each) for each in run_ids}
            progress(statuses)
            return all(map(_is_over, statuses.values()))

        quickest = min(POLL_SECONDS * len(run_ids), LONGEST_POLL_SECONDS)
        pace = Pace(quickest, LONGEST_POLL_SECONDS)

        def pause(longest: float) -> None:
            time.sleep(min(pace.wait(), longest))

        if not wait_until(finished, seconds, poll_seconds=seconds, sleep=pause):
            raise FederationError(
                f"After {seconds:.0f} s the runs are still not finished: {statuses}; "
                f"the logs are in {federation.directory}."
            )
    return statuses


def _is_over(status: str) -> bool:
    return status.startswith("finished")


def _toml(value: float | str) -> str:
    return json.dumps(value)
