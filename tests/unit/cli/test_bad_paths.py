"""Every path that a command takes, with everything that may be wrong with it.

One sentence, which names the path or the part of it that is the culprit; no traceback; and
nothing that was there is changed. A command with a path that is not in the table fails the test.
"""

import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import click
import pytest
import typer
from tests import bad_paths as bad
from tests.bad_paths import Maker
from tests.commands import fedstate
from tests.operators_directory import GOING, make
from tests.small_disk import small_disk

from fedstate.accounts.account import Role
from fedstate.accounts.changes import add_account
from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.certificates.keys import ensure_node_key
from fedstate.cli import app
from fedstate.connection import Connection, write_connection
from fedstate.store.backup import back_up
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

_NOWHERE: tuple[Maker, ...] = (bad.missing, bad.newline, bad.missing_parent)
_NO_PATH: tuple[Maker, ...] = (bad.below_a_file, bad.loop, bad.too_long)
# A file with something in it is read.
FILE = (
    *(*_NOWHERE, *_NO_PATH, bad.dangling, bad.empty_directory, bad.text, bad.null),
    *(bad.unreadable, bad.in_unreadable_directory),
)
# The same reader as for another path that has them all.
SAME_FILE = (bad.missing, bad.newline, bad.empty_directory, bad.text, bad.unreadable)
# A directory that a SuperNode has used, or a backup.
STORE = (
    *(*_NOWHERE, *_NO_PATH, bad.dangling, bad.empty_directory, bad.foreign_directory, bad.text),
    *(bad.null, bad.unreadable, bad.unreadable_directory, bad.in_unreadable_directory),
)
# The same reader as for another path that has them all.
SAME_STORE = (bad.missing, bad.newline, bad.foreign_directory, bad.text, bad.unreadable_directory)
# A file is written, in a directory that is there.
NEW_FILE = (
    *(
        bad.below_a_file,
        bad.too_long,
        bad.missing_parent,
        bad.newline_below,
        bad.empty_directory,
        bad.text,
        bad.null,
    ),
    *(bad.full_device, bad.in_unreadable_directory, bad.in_unwritable_directory),
)
# A directory is made, with what is above it.
NEW_DIRECTORY = (
    *(*_NO_PATH, bad.text, bad.null, bad.in_unreadable_directory, bad.in_unwritable_directory),
)
# Written with what is above it; one that is there, or a link to nowhere, is replaced or kept.
FILE_ANYWHERE = (
    *(
        bad.below_a_file,
        bad.too_long,
        bad.empty_directory,
        bad.in_unreadable_directory,
        bad.in_unwritable_directory,
    ),
)
# Where something is written, on a disk of its own.
DISKS = (bad.full_disk, bad.read_only_disk)
# A file with certificates may hold anything but has to be one.
ANY_FILE = tuple(maker for maker in FILE if maker not in (bad.text, bad.null))

CONNECTION = "connection here --address 127.0.0.1:1 --root-certificates {made}/server/ca.crt"
EXECUTOR = "executor --runtime-api-address 127.0.0.1:1 --plugin-type clientapp"
OPERATORS = f"{GOING} --state {{made}}/operator/state"
SECRET = f"{EXECUTOR} --root-certificates {{made}}/server/ca.crt --superexec-auth-secret-file"

# What is to be given beside the path that is bad, and what it may be. In the arguments, names in
# braces are the path, and files of `made`.
TABLE: dict[tuple[str, str], tuple[str, tuple[Maker, ...], bool]] = {
    ("account add", "accounts"): (
        "account add eva --role operator --accounts {path} --output {new}",
        FILE_ANYWHERE,
        True,
    ),
    ("account add", "output"): (
        "account add eva --role operator --accounts {made}/accounts.toml --output {path}",
        tuple(each for each in NEW_FILE if each not in (bad.missing_parent, bad.newline_below)),
        True,
    ),
    ("account list", "accounts"): ("account list --accounts {path}", ANY_FILE, False),
    ("account revoke", "accounts"): ("account revoke eva --accounts {path}", ANY_FILE, False),
    ("certificates authority", "directory"): (
        "certificates authority {path}",
        NEW_DIRECTORY,
        True,
    ),
    ("certificates server", "directory"): (
        "certificates server {path} --authority {made}/authority --host localhost",
        NEW_DIRECTORY,
        True,
    ),
    ("certificates server", "authority"): (
        "certificates server {new} --authority {path} --host localhost",
        NEW_DIRECTORY,
        True,
    ),
    ("certificates renew", "directories"): (
        "certificates renew {path} --authority {made}/authority",
        (*_NOWHERE, *NEW_DIRECTORY, bad.dangling, bad.empty_directory),
        False,
    ),
    ("certificates renew", "authority"): (
        "certificates renew {made}/server --authority {path}",
        (*_NOWHERE, *NEW_DIRECTORY, bad.dangling, bad.empty_directory),
        False,
    ),
    ("certificates node", "directory"): ("certificates node {path}", NEW_DIRECTORY, True),
    ("certificates secret", "file"): ("certificates secret {path}", FILE_ANYWHERE, True),
    ("connection", "token_file"): (
        f"{CONNECTION} --token-file {{path}}",
        FILE,
        False,
    ),
    ("enrol", "public_keys"): ("enrol {path} --wait 0", FILE, False),
    ("health", "root_certificates"): (
        "health https://127.0.0.1:1/health --root-certificates {path}",
        FILE,
        False,
    ),
    ("demo", "app"): ("demo --app {path} --output {new}", FILE[:7], False),
    ("demo", "output"): ("demo --app {made}/app --output {path}", NEW_DIRECTORY, False),
    ("executor", "root_certificates"): (
        f"{EXECUTOR} --root-certificates {{path}}",
        ANY_FILE,
        False,
    ),
    ("executor", "superexec_auth_secret_file"): (
        f"{SECRET} {{path}}",
        (*ANY_FILE, bad.null),
        False,
    ),
    ("executor", "output"): (
        f"{EXECUTOR} --root-certificates {{made}}/server/ca.crt --output {{path}}",
        NEW_DIRECTORY,
        False,
    ),
    ("local status", "directory"): ("local status --directory {path}", STORE, False),
    ("local restart", "directory"): ("local restart 1 --directory {path}", SAME_STORE, False),
    # Whoever stops what is stopped has nothing to mend.
    ("local stop", "directory"): (
        "local stop --directory {path}",
        tuple(each for each in STORE if each not in (bad.empty_directory, bad.foreign_directory)),
        False,
    ),
    ("local logs", "directory"): ("local logs --directory {path}", STORE, False),
    ("logs", "state"): ("logs 1 --state {path}", STORE, False),
    ("logs", "output"): ("logs 1 --output {path}", STORE, False),
    ("node replace-key", "public_key"): ("node replace-key 1 {path}", SAME_FILE, False),
    ("state check", "state"): ("state check --state {path}", STORE, False),
    ("state check", "key"): ("state check --state {made}/state --state-key {path}", FILE, False),
    ("state log", "state"): ("state log --state {path}", STORE, False),
    ("state log", "key"): ("state log --state {made}/state --state-key {path}", SAME_FILE, False),
    ("state backup", "state"): ("state backup {new} --state {path}", STORE, False),
    ("state backup", "file"): ("state backup {path} --state {made}/state", NEW_FILE, True),
    ("state restore", "file"): ("state restore {path} --state {new}", FILE, False),
    ("state restore", "state"): (
        "state restore {made}/backup --state {path}",
        NEW_DIRECTORY,
        True,
    ),
    ("state free", "state"): ("state free 1 --state {path}", STORE, False),
    ("state free", "key"): (
        "state free 1 --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state receipts", "state"): ("state receipts --state {path}", STORE, False),
    ("state receipts", "key"): (
        "state receipts --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state encrypt", "state"): (
        "state encrypt --state {path} --state-key {made}/key",
        STORE,
        False,
    ),
    ("state encrypt", "new"): (
        "state encrypt --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state decrypt", "state"): (
        "state decrypt --state {path} --state-key {made}/key",
        STORE,
        False,
    ),
    ("state decrypt", "old"): (
        "state decrypt --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state rotate-key", "state"): (
        "state rotate-key --state {path} --old-key {made}/key --new-key {made}/key",
        STORE,
        False,
    ),
    ("state rotate-key", "old"): (
        "state rotate-key --state {made}/state --old-key {path} --new-key {made}/key",
        SAME_FILE,
        False,
    ),
    ("state rotate-key", "new"): (
        "state rotate-key --state {made}/state --old-key {made}/key --new-key {path}",
        SAME_FILE,
        False,
    ),
    ("state list", "state"): (
        "state list --state {path}",
        STORE,
        False,
    ),
    ("state list", "key"): (
        "state list --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state show", "state"): (
        "state show 1 --state {path}",
        STORE,
        False,
    ),
    ("state show", "key"): (
        "state show 1 --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state history", "state"): (
        "state history 1 --state {path}",
        STORE,
        False,
    ),
    ("state history", "key"): (
        "state history 1 --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state diff", "state"): (
        "state diff 1 2 --state {path}",
        STORE,
        False,
    ),
    ("state diff", "key"): (
        "state diff 1 2 --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state export", "state"): (
        "state export 1 --to {new}.json --state {path}",
        STORE,
        False,
    ),
    ("state export", "key"): (
        "state export 1 --to {new}.json --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state kept", "state"): (
        "state kept 1 --state {path}",
        STORE,
        False,
    ),
    ("state kept", "key"): (
        "state kept 1 --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state rollback", "state"): (
        "state rollback 1 --to 0 --state {path}",
        STORE,
        False,
    ),
    ("state rollback", "key"): (
        "state rollback 1 --to 0 --state {made}/state --state-key {path}",
        SAME_FILE,
        False,
    ),
    ("state history", "png"): (
        f"state history {OPERATORS} --png {{path}}",
        NEW_FILE,
        True,
    ),
    ("state diff", "with_state"): (
        f"state diff {OPERATORS} --with-state {{path}}",
        STORE,
        False,
    ),
    ("state diff", "with_key"): (
        f"state diff {OPERATORS} --with-state {{made}}/state --with-state-key {{path}}",
        SAME_FILE,
        False,
    ),
    ("state export", "to"): (
        f"state export {OPERATORS} --as json --to {{path}}",
        NEW_FILE,
        True,
    ),
    ("state list", "directory"): (
        "state list --node 1 --directory {path}",
        STORE,
        False,
    ),
    ("state show", "directory"): (
        "state show 1 --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state history", "directory"): (
        "state history 1 --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state diff", "directory"): (
        "state diff 1 2 --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state export", "directory"): (
        "state export 1 --to {new}.json --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state kept", "directory"): (
        "state kept 1 --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state rollback", "directory"): (
        "state rollback 1 --to 0 --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state check", "directory"): (
        "state check --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state log", "directory"): (
        "state log --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state backup", "directory"): (
        "state backup {new} --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state restore", "directory"): (
        "state restore {made}/backup --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state free", "directory"): (
        "state free 1 --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state receipts", "directory"): (
        "state receipts --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state encrypt", "directory"): (
        "state encrypt --state-key {made}/key --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state decrypt", "directory"): (
        "state decrypt --state-key {made}/key --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("state rotate-key", "directory"): (
        "state rotate-key --old-key {made}/key --new-key {made}/key --node 1 --directory {path}",
        SAME_STORE,
        False,
    ),
    ("verify", "state"): ("verify --state {path}", STORE, False),
    ("verify", "key"): ("verify --state {made}/state --state-key {path}", SAME_FILE, False),
    ("verify", "public_key"): (
        "verify --state {made}/state --public-key {path}",
        FILE,
        False,
    ),
}
# Where the directory of a federation's own or of the walls is tested with all else about it.
ELSEWHERE = {
    ("executor", "rooms"): "tests/unit/executor/test_rooms.py",
    ("executor", "closed_directory"): "tests/unit/executor/test_room_settings.py",
    ("executor", "readable"): "tests/unit/executor/test_room_settings.py",
    ("executor", "writable"): "tests/unit/executor/test_room_settings.py",
    ("executor", "heartbeat_file"): "tests/unit/executor/test_heartbeat.py",
    ("local up", "directory"): "tests/unit/cli/local/test_up.py",
    # It may be made later: the first command that uses the connection reads it.
    ("connection", "root_certificates"): "tests/unit/cli/test_connection.py",
    ("local up", "readable"): "tests/unit/executor/test_room_settings.py",
    ("local up", "writable"): "tests/unit/executor/test_room_settings.py",
    # The records of ServerApps are only looked for: without any, less is known.
    ("verify", "runs"): "tests/unit/verify/test_verifier.py",
}
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


def refused(arguments: str, path: Path, here: Path, made: Path) -> None:
    """Run a command with a bad path, and check how it ends."""
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


CASES = [
    pytest.param(*key, maker, id=f"{key[0]}-{key[1]}-{maker.__name__}")
    for key, (_, makers, _) in TABLE.items()
    for maker in makers
]


@pytest.mark.parametrize(("command", "parameter", "maker"), CASES)
def test_a_bad_path_is_one_sentence_and_changes_nothing(
    command: str, parameter: str, maker: Maker, here: Path, made: Path
) -> None:
    arguments, *_ = TABLE[command, parameter]
    refused(arguments, maker(here), here, made)


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


@pytest.mark.parametrize("name", ["node.db", "node.mark"])
@pytest.mark.parametrize("command", ["check", "log", "free 1", "receipts", "backup {new}"])
def test_a_file_of_a_store_that_may_not_be_read_is_named(
    command: str, name: str, here: Path, made: Path
) -> None:
    shutil.copytree(made / "state", here / "state")
    (here / "state" / name).chmod(0)
    if name == "node.mark" and command not in ("check", "free 1"):
        pytest.skip("the mark is not needed for that")
    arguments = f"state {command} --state {here}/state"
    refused(arguments, here / "state", here, made)
    with bad.bound_by_permissions():
        done = fedstate(*arguments.format(new=here / "new-one").split(" "))
    assert name in done.stderr
