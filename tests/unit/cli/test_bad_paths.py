"""Every path that a command takes, with everything that may be wrong with it.

One sentence, which names the path or the part of it that is the culprit; no traceback; and
nothing that was there is changed. A command with a path that is not in the table, which is in
`tests.command_paths`, fails the test.
"""

import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from types import FrameType

import click
import numpy as np
import pytest
import typer
from flwr.app import Array, ArrayRecord
from tests import bad_paths as bad
from tests.bad_paths import Maker
from tests.command_paths import DISKS, ELSEWHERE, NEW_DIRECTORY, STORE, TABLE
from tests.commands import fedstate
from tests.operators_directory import commit, context_of, make, start
from tests.small_disk import small_disk

from fedstate.accounts.account import Role
from fedstate.accounts.changes import add_account
from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.certificates.keys import ensure_node_key
from fedstate.cli import app
from fedstate.connection import Connection, write_connection
from fedstate.flower.stored_values import digest_of
from fedstate.large.context import SplitContext
from fedstate.store.backup import back_up
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.step_log import Attempt
from fedstate.store.values import Value

_SECONDS = 60


def paths_of(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the name of each command with that of each path that it takes."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from paths_of(command, (*words, name))
            continue
        for parameter in command.params:
            if isinstance(parameter.type, click.Path):
                yield " ".join((*words, name)), str(parameter.name)


def test_every_path_of_every_command_is_in_the_table() -> None:
    tree = typer.main.get_command(app)
    assert isinstance(tree, click.Group)
    assert set(paths_of(tree)) == TABLE.keys() | ELSEWHERE.keys()
    root = Path(__file__).parents[3]
    assert all((root / file).is_file() for file in ELSEWHERE.values())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is right: an authority, accounts, a key, stores that are not encrypted, a backup."""
    made = tmp_path_factory.mktemp("made")
    authority = ensure_authority(made / "authority")
    (made / "server").mkdir()
    ensure_server_certificate(made / "server", authority, ["localhost"])
    ensure_node_key(made / "node")
    add_account(made / "accounts.toml", "operator", Role.OPERATOR)
    (made / "key").write_text("01" * 32)
    (made / "app").mkdir()
    (made / "app" / "pyproject.toml").write_text("")
    with closing(NodeStore(made / "state")) as store:
        run = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
        store.add_run(run, Value(b"record"), Value(b"fab"), Value(b"context"))
        store.finish_run(1)
    back_up(made / "state", made / "backup")
    make(made / "operator")
    return made


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Fail a command that goes on although its path is bad."""

    def late(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"The command did not end within {_SECONDS} s.")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def here(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    # Nobody listens there: what is wrong with a path is said before anybody is asked.
    write_connection(Connection("here", "127.0.0.1:1", made / "server" / "ca.crt"), default=True)
    (tmp_path / "bad").mkdir()
    return tmp_path / "bad"


def refused(arguments: str, path: Path, here: Path, made: Path) -> str:
    """Run a command with a bad path, and check how it ends; return what it says."""
    words = [
        word.format(path=path, made=made, new=here / "new-one") for word in arguments.split(" ")
    ]
    with bad.bound_by_permissions():
        before = bad.content(here), bad.content(made)
        done = fedstate(*words)
        after = bad.content(here), bad.content(made)
    assert done.exit_code in (1, 2), done.output
    assert after == before
    said = done.stderr.strip()
    assert "Traceback" not in said
    assert said.count("\n") == 0, said
    assert said.startswith("fedstate: "), said
    # The path, or what is wrong above it.
    names = [
        str(each).replace("\n", "\\n")
        for each in (path, *path.parents)
        if here in (each, *each.parents) and each != here
    ] or [str(path)]
    assert any(name in said for name in names), said
    assert said.endswith((".", "`", "'")) or "with: " in said, said
    return said


CASES = [
    pytest.param(*key, maker, id=f"{key[0]}-{key[1]}-{maker.__name__}")
    for key, (_, makers, _) in TABLE.items()
    for maker in makers
]


@pytest.mark.parametrize(("command", "parameter", "maker"), CASES)
def test_a_bad_path_is_one_sentence_and_changes_nothing(
    command: str, parameter: str, maker: Maker, here: Path, made: Path
) -> None:
    arguments, makers, _ = TABLE[command, parameter]
    said = refused(arguments, maker(here), here, made)
    if makers is NEW_DIRECTORY and maker in (bad.text, bad.null):
        assert "exists already" not in said, "it is no directory"


@pytest.mark.parametrize("disk", DISKS, ids=lambda disk: disk.__name__)
@pytest.mark.parametrize(
    ("command", "parameter"), [key for key, (*_, writes) in TABLE.items() if writes]
)
def test_a_disk_that_cannot_be_written_is_the_culprit(
    command: str, parameter: str, disk: Maker, here: Path, made: Path
) -> None:
    arguments, *_ = TABLE[command, parameter]
    with disk(here) as path:
        refused(arguments, path, here, made)


@pytest.mark.parametrize(
    "arguments",
    [
        "state encrypt --state {path} --state-key {made}/key",
        "state free 1 --state {path}",
        "state restore {made}/backup --state {path} --replace",
    ],
)
def test_a_store_on_a_read_only_disk_stays(arguments: str, here: Path, made: Path) -> None:
    with small_disk(here / "disk", "size=20m") as disk:
        shutil.copytree(made / "state", disk / "state")
        bad.remount_read_only(disk)
        refused(arguments, disk / "state", here, made)
        # Whoever only reads needs no more.
        assert fedstate("state", "check", "--state", disk / "state").exit_code == 0
        assert fedstate("state", "log", "--state", disk / "state").exit_code == 0
        assert fedstate(*f"state backup {here}/b --state {disk}/state".split()).exit_code == 0


def make_large(directory: Path) -> None:
    """Make a store whose state is beside its database."""
    context = context_of(1, 2301)
    context.state["head"] = ArrayRecord({"kernel": Array(np.ones(2**19))})
    with closing(NodeStore(directory)) as store:
        start(store, context)
        attempt = Attempt(2301, "1", "train", digest_of(SplitContext.split(context)), 0.5)
        commit(store, context, attempt)
        store.finish_run(1)


def _closed(state: Path, names: str) -> None:
    for file in state.glob(names):
        file.chmod(0)


def _says_who_may_use_it(said: str, file: Path) -> None:
    assert said == (
        f"fedstate: '{file}' may not be used by this user (permission denied). Change its "
        "permissions, or run the command as the user that owns it.\n"
    )


STORES = [key for key, (_, makers, _) in TABLE.items() if makers is STORE]
# These want a directory, and say of a store's file that it is none; their own is beside it.
_NO_STORES = {"logs", "local status", "local stop", "local logs"}


@pytest.mark.parametrize("runs", [False, True], ids=["stopped", "running"])
@pytest.mark.parametrize(
    ("command", "parameter"), [key for key in STORES if key[0] not in _NO_STORES]
)
def test_a_store_whose_files_may_not_be_read_names_the_file(
    command: str, parameter: str, runs: bool, here: Path, made: Path
) -> None:
    shutil.copytree(made / "state", here / "state")
    arguments, *_ = TABLE[command, parameter]
    words = [
        word.format(path=here / "state", made=made, new=here / "new-one")
        for word in arguments.split(" ")
    ]
    with closing(NodeStore(here / "state")) if runs else nullcontext():
        _closed(here / "state", "node.*")
        with bad.bound_by_permissions():
            before = bad.content(here), bad.content(made)
            done = fedstate(*words)
            assert (bad.content(here), bad.content(made)) == before
    assert done.exit_code in (1, 2), done.output
    # Who locks the store sees the mark first.
    file = "node.mark" if "node.mark" in done.stderr else "node.db"
    _says_who_may_use_it(done.stderr, here / "state" / file)


@pytest.mark.parametrize("name", ["node.db", "node.mark", "node.content/*"])
@pytest.mark.parametrize(
    ("command", "needs_the_mark"),
    [
        ("state check", True),
        ("state log", False),
        ("state free 1", True),
        ("state receipts", False),
        ("state backup {new}", True),
        ("verify", False),
    ],
)
def test_a_file_of_a_store_that_may_not_be_read_is_named(
    command: str, needs_the_mark: bool, name: str, here: Path
) -> None:
    make_large(here / "state")
    if name == "node.mark" and not needs_the_mark:
        pytest.skip("the mark is not needed for that")
    if name == "node.content/*" and command in ("state log", "state receipts"):
        pytest.skip("the states are not needed for that")
    _closed(here / "state", name)
    (file,) = (here / "state").glob(name)
    with bad.bound_by_permissions():
        before = bad.content(here)
        words = f"{command} --state {here}/state".format(new=here / "new-one").split(" ")
        done = fedstate(*words)
        # Who has opened a store for writing has written to its database.
        assert bad.content(here).keys() == before.keys()
    assert done.exit_code == (2 if command == "verify" else 1)
    _says_who_may_use_it(done.stderr, file)


# These look at what there is of a store, as far as it goes.
_LOOKING = {f"state {name}" for name in ("list", "show", "log", "history", "diff", "export")}
_LOOKING |= {"state kept", "state receipts", "verify"}


@pytest.mark.parametrize(
    ("command", "parameter"),
    [
        key
        for key in STORES
        if key[0] not in _NO_STORES | _LOOKING | {"state decrypt", "state rotate-key"}
    ],
)
def test_a_lone_database_is_refused_in_the_words_of_check(
    command: str, parameter: str, here: Path, made: Path
) -> None:
    (here / "state").mkdir()
    shutil.copy(made / "operator" / "state" / "node.db", here / "state")
    arguments, *_ = TABLE[command, parameter]
    words = arguments.format(path=here / "state", made=made, new=here / "new-one").split(" ")
    done = fedstate(*words)
    assert done.exit_code == 1
    assert "the file 'node.mark' is missing" in done.stdout + done.stderr
    assert bad.content(here).keys() == {str(here / "state" / "node.db")}


CHANGING = {
    "state free": "1",
    "state rollback": "1 --to 0",
    "state encrypt": "--state-key {made}/key",
    "state decrypt": "--state-key {made}/key",
    "state rotate-key": "--old-key {made}/key --new-key {made}/key",
}


@pytest.mark.parametrize("command", CHANGING)
def test_a_file_is_called_a_backup_by_who_changes_stores_only_if_it_is_one(
    command: str, here: Path, made: Path
) -> None:
    whole = (made / "backup").read_bytes()
    for content, said in (
        (whole, "is a backup, which is not changed. Restore it first, with: fedstate state"),
        (whole[:-1000], "does not have its checksum"),
        (b"\x00\xff" * 500, "is not a backup of a node store. Give a file that"),
    ):
        (here / "file").write_bytes(content)
        start = f"{command} {CHANGING[command]} --state {{path}}"
        assert said in refused(start, here / "file", here, made)
