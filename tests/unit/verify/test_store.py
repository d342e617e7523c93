"""A node's store alone: plain and encrypted, in use, stopped, backed up; and its receipts."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import Array, ArrayRecord, Context, RecordDict

from fedstate.flower.stored_values import encode_context
from fedstate.large.context import SplitContext
from fedstate.store.backup import back_up
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value
from fedstate.witness import EMPTY_STATE, Receipt, is_signed_by, sign
from tests.commands import fedstate
from tests.unit.store.logged import NODE, attempt
from tests.unit.verify.made import key_of

RUN, STEPS = 2**64 - 9, 3
KEY = b"k" * 32


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def key(request: pytest.FixtureRequest) -> bytes | None:
    found: bytes | None = request.param
    return found


@pytest.fixture
def store(tmp_path: Path, key: bytes | None) -> Iterator[NodeStore]:
    """A store that is in use, with steps that a node has signed."""
    with closing(NodeStore(tmp_path / "state", key=key)) as opened:
        run = StoredRun(RUN, RUN, "fab", None)
        opened.add_run(run, Value(b"record"), Value(b"fab"), state(0))
        handed_out = EMPTY_STATE
        for number in range(1, STEPS + 1):
            message = f"m{number}"
            opened.receive(message, RUN, Value(b"message"))
            done = opened.commit(
                message, RUN, state(number), Value(b"reply"), attempt(number, handed_out)
            )
            handed_out = done.digest
            receipt = opened.receipt(message)
            assert receipt is not None
            opened.answered(message, sign(receipt.row, key_of(NODE)).signature)
        yield opened


def state(number: int) -> Value:
    context = Context(RUN, NODE, {}, RecordDict(), {}, series_id=RUN)
    if number:
        values = Array(np.full(300_000, float(number)))
        context.state["arrays"] = ArrayRecord({"values": values})
    return encode_context(SplitContext.split(context))


@pytest.fixture
def options(tmp_path: Path, key: bytes | None) -> list[str]:
    """What a command needs to read the store, and to verify its signatures."""
    public = key_of(NODE).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    (tmp_path / "node.pub").write_bytes(public)
    return ["--public-key", str(tmp_path / "node.pub"), *key_option(tmp_path, key)]


def key_option(directory: Path, key: bytes | None) -> list[str]:
    if key is None:
        return []
    (directory / "key").write_text(key.hex())
    return ["--state-key", str(directory / "key")]


def test_a_store_is_verified_while_it_is_used_stopped_and_in_a_backup(
    store: NodeStore, options: list[str], tmp_path: Path
) -> None:
    back_up(store.directory, tmp_path / "live.backup")
    places = [store.directory, tmp_path / "live.backup"]
    for round_ in ("in use", "stopped"):
        for place in places:
            done = fedstate("verify", "--state", str(place), *options, "--format", "json")
            report = json.loads(done.stdout)
            assert (done.exit_code, report["findings"]) == (0, []), (round_, place)
            (run,) = report["runs"]
            assert (run["run_id"], run["nodes"][0]["step_count"]) == (str(RUN), STEPS)
            assert report["signatures"] == STEPS
        store.close()


def test_a_run_that_was_freed_is_of_the_same_node(store: NodeStore, options: list[str]) -> None:
    """No row of it is left that says so; it is no other node with a copy of the store."""
    other = StoredRun(RUN - 1, RUN - 1, "fab", None)
    store.add_run(other, Value(b"record"), Value(b"fab"), state(0))
    store.receive("another", RUN - 1, Value(b"message"))
    store.commit("another", RUN - 1, state(1), Value(b"reply"), attempt(1, EMPTY_STATE))
    receipt = store.receipt("another")
    assert receipt is not None
    store.answered("another", sign(receipt.row, key_of(NODE)).signature)
    store.finish_run(RUN - 1)
    store.free_run(RUN - 1)
    # Also where no public key says that two names would be one node.
    for given in (options[2:], options):
        done = fedstate("verify", "--state", str(store.directory), *given, "--format", "json")
        report = json.loads(done.stdout)
        assert done.exit_code == 0, report["findings"]
    nodes = {run["run_id"]: [each["node_id"] for each in run["nodes"]] for run in report["runs"]}
    assert nodes == {str(RUN): [str(NODE)], str(RUN - 1): [str(NODE)]}


def files_of(directory: Path) -> dict[Path, tuple[bytes, int]]:
    files = [each for each in directory.rglob("*") if each.is_file()]
    return {each: (each.read_bytes(), each.stat().st_mtime_ns) for each in files}


def test_a_directory_that_nobody_may_write_is_left_as_it_is(
    store: NodeStore, options: list[str]
) -> None:
    """Also to root, to whom permissions are no bar: nothing is made beside the database."""
    store.close()
    directory = store.directory
    directory.chmod(0o555)
    before = files_of(directory)
    done = fedstate("verify", "--state", str(directory), *options)
    assert done.exit_code == 0, done.stderr
    assert files_of(directory) == before
    directory.chmod(0o755)


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_store_without_a_run_is_no_verdict(tmp_path: Path, form: str) -> None:
    NodeStore(tmp_path / "state").close()
    done = fedstate("verify", "--state", str(tmp_path / "state"), "--format", form)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"There is no run in '{tmp_path / 'state'}' to verify." in done.stderr


@pytest.mark.parametrize("key", [KEY], indirect=True)
@pytest.mark.parametrize("command", [("verify", "--state"), ("state", "receipts", "--state")])
def test_an_encrypted_store_wants_its_key(
    store: NodeStore, tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = fedstate(*command, str(store.directory))
    assert done.exit_code != 0
    assert done.stdout == ""
    assert "--state-key" in done.stderr
    done = fedstate(*command, str(store.directory), *key_option(tmp_path, b"x" * 32))
    assert done.exit_code != 0
    assert "key" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("key", [None], indirect=True)
@pytest.mark.parametrize(
    "wrong",
    [
        ("--public-key", "{here}"),
        ("--public-key", "{here}/missing"),
        ("--state-key", "{here}"),
        ("--state-key", "{here}/missing"),
    ],
)
def test_a_file_that_cannot_be_read_is_no_verdict(
    store: NodeStore, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    """Exit code 1 would say that a promise was broken."""
    option, value = wrong
    path = value.format(here=tmp_path)
    done = fedstate("verify", "--state", str(store.directory), option, path)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert path in line


@pytest.mark.usefixtures("options")
def test_receipts_can_be_fetched_from_the_node(
    store: NodeStore, tmp_path: Path, key: bytes | None
) -> None:
    """With Flower's own SuperLink they are nowhere else."""
    wanted = (str(RUN)[:6], *key_option(tmp_path, key))
    done = fedstate("state", "receipts", *wanted, "--state", str(store.directory))
    assert done.exit_code == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    for line in lines:
        receipt = Receipt(bytes.fromhex(line["row"]), bytes.fromhex(line["signature"]))
        assert is_signed_by(receipt, key_of(NODE).public_key())
        assert (line["run_id"], line["node_id"]) == (str(RUN), str(NODE))
        assert line["outcome"] == receipt.record.outcome == "committed"


@pytest.mark.parametrize("key", [None], indirect=True)
@pytest.mark.parametrize("command", [("verify", "--state"), ("state", "receipts", "--state")])
def test_a_run_that_the_store_does_not_have_is_named(
    store: NodeStore, command: tuple[str, ...]
) -> None:
    done = fedstate(*command, str(store.directory), "7")
    assert done.exit_code != 0
    assert f"The node's store has no run whose ID begins with 7; it has {RUN}." in done.stderr
