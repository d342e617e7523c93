"""A federation whose processes are killed, and what its runs must come to all the same."""

import hashlib
import json
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedstate.failpoints import VARIABLE
from fedstate.local.federation import Federation, LocalNode
from fedstate.local.runs import start, wait_for_runs
from fedstate.store.database import connect
from tests.federation_logs import AFTER_A_KILL, MARKER
from tests.open_directory import new_directory
from tests.programs import PROGRAMS
from tests.waiting import wait_until

APP = Path(__file__).parents[1] / "apps" / "counting"
VALUES = 1000
RUN_SECONDS = 180.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow in the logs what every kill leaves there."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(getattr(pytest.mark, MARKER)(*AFTER_A_KILL))


def expected(rounds: int, seed: int, fail_round: int = 0, values: int = VALUES) -> dict[str, Any]:
    """Compute what an undisturbed run comes to, as the app does, step by step."""
    given = np.zeros(values)
    own = [np.zeros(values) for _ in range(2)]
    histories: list[list[float]] = [[] for _ in range(2)]
    for server_round in range(1, rounds + 1):
        trained = [0, 1] if server_round != fail_round else [1]
        for partition in trained:
            history = histories[partition]
            noise = np.random.default_rng([seed, partition, len(history)])
            # In place, as the app does: a large model has no room for more.
            own[partition] *= 0.5
            own[partition] += 0.3 * given
            own[partition] += noise.standard_normal(values)
            history.append(float(own[partition].mean()))
        given = own[trained[0]] + own[trained[1]] if len(trained) > 1 else own[trained[0]].copy()
        given /= len(trained)
    return {
        "values": digest(given),
        "errors": [],
        "histories": sorted(histories),
        "own": sorted(digest(values) for values in own),
    }


def digest(values: Any) -> str:
    """Return a digest of an array's bytes."""
    return hashlib.sha256(values.tobytes()).hexdigest()


def runs_in(database: Path) -> int:
    """Return how many runs a node's store holds."""
    with closing(connect(database, write=False)) as connection:
        return int(connection.execute("SELECT count(*) FROM run").fetchone()[0])


@dataclass
class Run:
    """A run that was started."""

    run_id: int
    rounds: int
    seed: int
    result: Path
    values: int = VALUES

    def outcome(self) -> dict[str, Any]:
        """Return what the ServerApp wrote, in an order that does not depend on node IDs."""
        outcome: dict[str, Any] = json.loads(self.result.read_text())
        # A history is a list, or the text of an error.
        histories = sorted(outcome["histories"], key=str)
        if all(isinstance(history, list) for history in histories):
            histories = sorted(histories)
        return outcome | {"histories": histories, "own": sorted(outcome["own"])}


class Killable:
    """A federation of two nodes; tests kill and start what they like."""

    def __init__(self, federation: Federation, app: Path = APP) -> None:
        self.federation = federation
        self._app = app
        self._runs = 0
        self._open = new_directory()

    def submit(self, *, rounds: int = 3, **config: Any) -> Run:
        """Start a run of the app, each with a seed of its own unless one is given."""
        self._runs += 1
        result = self._open / f"result-{self._runs}.json"
        settings: dict[str, Any] = {"rounds": rounds, "seed": self._runs, "result": str(result)}
        settings |= {name.replace("_", "-"): value for name, value in config.items()}
        run_id = start(self.federation, self._app, settings)
        return Run(
            run_id, rounds, int(settings["seed"]), result, int(settings.get("values", VALUES))
        )

    def wait(self, *runs: Run, seconds: float = RUN_SECONDS) -> None:
        """Wait for runs and check that each came to what an undisturbed run comes to."""
        statuses = wait_for_runs(self.federation, [run.run_id for run in runs], seconds)
        assert set(statuses.values()) == {"finished:completed"}
        for run in runs:
            assert run.outcome() == expected(run.rounds, run.seed, values=run.values)

    def state_of(self, node: LocalNode) -> Path:
        """Return the state directory of a node."""
        (database,) = node.directory.glob("flwr/fedstate/nodes/*/node.db")
        return Path(database.parent)

    def start(self, node: LocalNode, failpoints: str = "") -> None:
        """Start a node's SuperNode, with failpoints armed."""
        node.supernode._environment[VARIABLE] = failpoints
        node.supernode.start()

    def wait_for_kill(self, node: LocalNode) -> None:
        """Wait until a SuperNode was killed by its failpoint, and not by anything else."""
        wait_until(lambda: not node.supernode.running, 90, "the kill")
        assert node.supernode._started is not None
        assert node.supernode._started.returncode == -signal.SIGKILL, node.supernode.log_end()

    def submit_pausing(self, pause_round: int, **config: Any) -> tuple[Run, Path]:
        """Start a run whose first node waits in a round; return it and the file it waits for."""
        go = self._open / f"go-{self._runs + 1}"
        return self.submit(pause=str(go), pause_round=pause_round, **config), go

    def wait_for_pause(self, go: Path, seconds: float = 90.0) -> int:
        """Wait until a ClientApp waits for `go`; return its process ID."""
        reached = go.with_suffix(".reached")
        wait_until(reached.exists, seconds, "the pause")
        return int(reached.read_text())


@pytest.fixture(scope="package")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    directory = tmp_path_factory.mktemp("killable")
    with Federation(directory, nodes=2, programs=PROGRAMS) as federation:
        yield Killable(federation)
