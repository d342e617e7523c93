"""Going back to a former state of a run, as an operator does it."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from flwr.app import Context, MetricRecord, RecordDict
from tests.commands import fedstate

from fedstate.cli.human import human_size, human_time
from fedstate.flower.stored_values import decode_context, describe_state, encode_context
from fedstate.large.context import SplitContext
from fedstate.store.backup import back_up
from fedstate.store.keeping_store import Origin
from fedstate.store.kept_states import KeptState
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.requests import answer_requests
from fedstate.store.retention import free
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value

NODE = 77


def context(loss: float) -> Value:
    state = RecordDict({"m": MetricRecord({"loss": loss})} if loss else {})
    return encode_context(SplitContext.split(Context(1, NODE, {}, state, {}, 7)))


def losses(directory: Path, run_id: int = 1234) -> dict[str, object]:
    with closing(NodeStore(directory)) as store:
        found: dict[str, object] = {}
        for kept in store.kept_states(run_id):
            state = decode_context(store.kept_context(run_id, kept.number)[1]).context.state
            metrics = state.get("m")
            loss = metrics["loss"] if isinstance(metrics, MetricRecord) else None
            found[f"{kept.number}{'*' if kept.current else ''}"] = loss
        return found


def step(store: NodeStore, number: int, *, answered: bool = True) -> None:
    message = f"m{number}"
    store.receive(message, 1234, Value(b"message"))
    attempt = Attempt(NODE, str(number), "train", b"", 0.1)
    store.commit(message, 7, context(number), Value(b"reply"), attempt)
    if answered:
        store.answered(message)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with closing(NodeStore(tmp_path / "state")) as store:
        store.keep = 4
        run = StoredRun(1234, 7, "fab", None)
        store.add_run(run, Value(b"record"), Value(b"fab"), context(0))
        for number in range(1, 6):
            step(store, number)
    return tmp_path / "state"


def test_the_states_that_are_kept_are_listed_and_one_comes_back(directory: Path) -> None:
    listed = fedstate("state", "kept", "12", "--state", directory, "--format", "json")
    rows = json.loads(listed.stdout)
    assert [(row["state"], row["round"], row["present"]) for row in rows] == [
        (2, "2", ""),
        (3, "3", ""),
        (4, "4", ""),
        (5, "5", "yes"),
    ]
    before = fedstate("state", "check", "--state", directory)
    assert before.exit_code == 0
    done = fedstate(
        "state", "rollback", "1234", "--to", "3", "--state", directory, "--format", "json"
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["rolled_back_to"], result["state"], result["present"]) == (3, 6, "yes")
    assert result["digest"] == rows[1]["digest"]
    # What came later is not lost: one can go there again.
    assert losses(directory) == {"2": 2.0, "3": 3.0, "4": 4.0, "5": 5.0, "6*": 3.0}
    assert fedstate("state", "rollback", "1", "--to", "5", "--state", directory).exit_code == 0
    assert losses(directory)["7*"] == 5.0
    assert fedstate("state", "check", "--state", directory).exit_code == 0
    log = fedstate("state", "log", "--state", directory, "--format", "json")
    assert [row["outcome"] for row in json.loads(log.stdout)][-2:] == ["rolled back"] * 2


def test_people_are_shown_sizes_and_times_of_here_and_programs_the_numbers(
    directory: Path,
) -> None:
    kept = ("state", "kept", "1234", "--state", directory)
    (*_, row) = json.loads(fedstate(*kept, "--format", "json").stdout)
    shown = fedstate(*kept).stdout
    assert human_size(row["size_bytes"]) in shown
    assert human_time(datetime.fromisoformat(row["time"]).timestamp()) in shown
    back = ("state", "rollback", "1234", "--to", "3", "--state", directory)
    assert human_size(row["size_bytes"]) in fedstate(*back).stdout


def test_verify_says_who_has_done_it(directory: Path) -> None:
    fedstate("state", "rollback", "1234", "--to", "2", "--state", directory)
    done = fedstate("verify", "--state", directory)
    assert "step 6: rolled back by the node's operator to step 2." in done.output
    assert "older-state" not in done.output


def refusal(*arguments: str | Path) -> str:
    done = fedstate("state", "rollback", *arguments)
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    return " ".join(done.output.split())


def test_each_refusal_is_one_sentence_and_changes_nothing(
    directory: Path, tmp_path: Path
) -> None:
    before = losses(directory)
    state = ("--state", directory)
    assert (
        "The state 1 of run 1234 is not kept; of this run the node has: 2, 3, 4, 5. "
        "The last N states of each run are kept, from then on, with 'fedstate supernode --keep "
        "N', 'fedstate local up --keep N', or FEDSTATE_KEEP=N"
    ) in refusal("1234", "--to", "1", *state)
    assert "Run 1234 has state 5 now; nothing was changed." in refusal("12", "--to", "5", *state)
    assert "has no run whose ID begins with 9; it has 1234" in refusal("9", "--to", "1", *state)
    assert "There is no node store in" in refusal("1", "--to", "1", "--state", tmp_path / "none")
    back_up(directory, tmp_path / "backup")
    assert "is a backup, which is not changed" in refusal(
        "1", "--to", "2", "--state", tmp_path / "backup"
    )
    with supernode(directory):
        assert "Run 1234 has state 5 now; nothing was" in refusal("12", "--to", "5", *state)
        assert "has no run whose ID begins with 9" in refusal("9", "--to", "1", *state)
    assert losses(directory) == before


@contextmanager
def supernode(directory: Path) -> Iterator[NodeStore]:
    """Have a store open in the block, and do what is asked in its directory, as a SuperNode."""
    over = threading.Event()
    with closing(NodeStore(directory)) as store:

        def roll_back(origin: Origin) -> KeptState:
            return store.roll_back(origin.run_id, origin.number, describe_state)

        def look() -> None:
            while not over.wait(0.01):
                answer_requests(directory, lambda choice: free(store, choice), roll_back)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield store
        finally:
            over.set()
            thread.join()


def test_a_supernode_that_runs_rolls_back_between_the_steps_of_a_run(directory: Path) -> None:
    back = ("state", "rollback", "1234", "--to", "3", "--state", directory, "--format", "json")
    with supernode(directory) as store:
        done = fedstate(*back)
        assert done.exit_code == 0, done.output
        result = json.loads(done.stdout)
        assert (result["run"], result["state"], result["present"]) == ("1234", 6, "yes")
        assert fedstate("state", "kept", "1", "--state", directory).exit_code == 0
        store.receive("m6", 1234, Value(b"message"))
        done = fedstate(*back)
        assert done.exit_code == 1
        assert "has a step under way (message m6), and nothing was changed" in done.stderr
    assert losses(directory) == {"2": 2.0, "3": 3.0, "4": 4.0, "5": 5.0, "6*": 3.0}
    assert list(directory.glob("*rollback-*")) == []


@pytest.mark.parametrize("committed", [True, False])
def test_a_run_with_a_step_under_way_is_not_rolled_back(directory: Path, committed: bool) -> None:
    with closing(NodeStore(directory)) as store:
        store.keep = 4
        if committed:
            step(store, 6, answered=False)
        else:
            store.receive("m6", 1234, Value(b"message"))
    before = losses(directory)
    said = refusal("1", "--to", "4", "--state", directory)
    assert (
        "Run 1234 has a step under way (message m6), and nothing was changed. Let it end" in said
    )
    assert losses(directory) == before


def test_a_state_that_is_damaged_does_not_come_back(directory: Path) -> None:
    with closing(NodeStore(directory)) as store:
        # The row says so itself, with its checksum: only the content can tell.
        (row,) = store._rows.find("kept_state", number=3)
        with store._transaction():
            store._rows.put("kept_state", row | {"digest": b"x" * 32})
    assert "state 3 of run 1234 does not have its digest" in refusal(
        "1", "--to", "3", "--state", directory
    )
