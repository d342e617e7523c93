"""Looking into a store while four runs write to it: nobody waits and nothing is odd.

The commands that only read are the examples of their own help, each in turn, until the runs have
made their steps.
"""

import itertools
import json
import shlex
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from flwr.app import Context
from tests.commands import fedstate
from tests.operators_directory import commit, context_of, fail, split, start, step
from tests.unit.cli.test_examples import COMMANDS

from fedstate.cli.examples import examples_in
from fedstate.flower.stored_values import decode_context, digest_of
from fedstate.store.node_store import NodeStore
from fedstate.store.read_only import read_only
from fedstate.store.step_log import Attempt

NODE_ID = 2301
RUNS = tuple(4711 * 10**15 + number for number in range(1, 5))
STEPS = 12
FAILS_EACH = 5
# What changes a store, or writes a file of which there may be only one.
CHANGING = {"backup", "decrypt", "encrypt", "free", "restore", "rollback", "rotate-key"}

# Runs as the examples name them, and options that name a file to write.
EXAMPLES_OF_RUNS = ("4711", "1848")
WRITING = {"--to", "--png"}


def reading() -> list[list[str]]:
    """Return the examples of the commands that only read a node's store, about the store here."""
    found = []
    for name, command in COMMANDS.items():
        group, _, own = name.partition(" ")
        if group != "state" or own in CHANGING:
            continue
        for example in examples_in(command.epilog):
            words = shlex.split(example)[1:]
            # Kept states, and a second node, are not here.
            if words.count("--node") == 1 and not ("@" in example or "--with-node" in words):
                place = words.index("--node")
                found.append([*words[:place], "--state", "state", *words[place + 2 :]])
    return found


READING = reading()


def work(store: NodeStore, run_id: int) -> None:
    """Make the steps of a run, of which some fail."""
    context = context_of(run_id, NODE_ID)
    start(store, context)
    for number in range(1, STEPS + 1):
        make_step(store, context, number)


def make_step(store: NodeStore, context: Context, number: int) -> None:
    attempt = Attempt(NODE_ID, str(number), "train", digest_of(split(context)), 0.5)
    if number % FAILS_EACH == 0:
        fail(store, context, attempt, f"ValueError: no data in round {number}")
        return
    step(context, number)
    commit(store, context, attempt)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_of_commands_that_read_are_found() -> None:
    assert {words[1] for words in READING} >= {"log", "check", "receipts"}


def test_commands_work_while_four_runs_write(here: Path) -> None:
    failures: list[BaseException] = []

    def watched(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)
            raise

    with closing(NodeStore(here / "state")) as store:
        writing = [
            threading.Thread(target=watched, args=(lambda run_id=run_id: work(store, run_id),))
            for run_id in RUNS
        ]
        ended = threading.Event()

        def maintain() -> None:
            while not ended.wait(0.01):
                store.maintain()

        keeping = threading.Thread(target=watched, args=(maintain,))
        for thread in (*writing, keeping):
            thread.start()
        try:
            seen: dict[str, int] = {}
            # Once more after the last step, so that each has been run however slow they are.
            for arguments in itertools.cycle(READING):
                look(arguments, seen)
                if len(seen) == len(RUNS) and not any(thread.is_alive() for thread in writing):
                    break
        finally:
            for thread in writing:
                thread.join()
            ended.set()
            keeping.join()
        assert not failures
        for arguments in READING:
            look(arguments, seen)
        assert list(seen.values()) == [STEPS] * len(RUNS)
        for run_id in RUNS:
            value = store.context(run_id)
            assert value is not None
            assert digest_of(decode_context(value)) == alone(run_id)


def look(arguments: list[str], seen: dict[str, int]) -> None:
    """Run a command, which has to work; look whether what the log says goes on from before."""
    with read_only(Path("state")) as store:
        begun = [str(chain.run_id) for chain in store.chains() if chain.length > 1]
    if len(begun) < len(EXAMPLES_OF_RUNS):
        return
    named = dict(zip(EXAMPLES_OF_RUNS, begun, strict=False))
    words = [named.get(word, word) for word in arguments]
    for option in WRITING & set(words):
        Path(words[words.index(option) + 1]).unlink(missing_ok=True)
    done = fedstate(*words)
    assert done.exit_code == 0, (words, done.stdout + done.stderr)
    rows = fedstate("state", "log", "--state", "state", "--format", "json")
    steps: dict[str, list[int]] = {}
    for row in json.loads(rows.stdout):
        steps.setdefault(row["run"], []).append(row["step"])
        assert (row["outcome"] == "failed") == (row["step"] % FAILS_EACH == 0)
    for run, numbers in steps.items():
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= seen.get(run, 0)
        seen[run] = len(numbers)


def alone(run_id: int) -> bytes:
    """Return the digest of the state that a run has after its steps if nobody looks."""
    context = context_of(run_id, NODE_ID)
    for number in range(1, STEPS + 1):
        if number % FAILS_EACH:
            step(context, number)
    return digest_of(split(context))


def test_a_step_waits_for_nobody_who_reads(here: Path) -> None:
    """On one thread: a step that waited for the reader would wait for itself."""
    with closing(NodeStore(here / "state")) as store:
        context = context_of(RUNS[0], NODE_ID)
        start(store, context)
        make_step(store, context, 1)
        with read_only(here / "state") as reader:
            (before,) = reader.chains()
            for number in range(2, FAILS_EACH + 1):
                make_step(store, context, number)
                store.maintain()
            assert reader.chains() == [before]
        with read_only(here / "state") as reader:
            assert reader.chains()[0].length == FAILS_EACH
