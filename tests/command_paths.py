"""Each path of each command: what is given beside it, and what may be wrong with it."""

from tests import bad_paths as bad
from tests.bad_paths import Maker
from tests.operators_directory import GOING

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
    ("local up", "directory"): (
        "local up --nodes 1 --walls none --directory {path}",
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
    ("verify", "state"): ("verify --state {path}", STORE, False),
    ("verify", "key"): ("verify --state {made}/state --state-key {path}", SAME_FILE, False),
    ("verify", "public_key"): (
        "verify --state {made}/state --public-key {path}",
        FILE,
        False,
    ),
}
# Commands on a store: what each is given beside it.
LOOKING = {
    "state list": "",
    "state show": "1",
    "state history": "1",
    "state diff": "1 2",
    "state export": "1 --to {new}.json",
    "state kept": "1",
    "state rollback": "1 --to 0",
}
CARING = {
    "state check": "",
    "state log": "",
    "state backup": "{new}",
    "state restore": "{made}/backup",
    "state free": "1",
    "state receipts": "",
    "state encrypt": "--state-key {made}/key",
    "state decrypt": "--state-key {made}/key",
    "state rotate-key": "--old-key {made}/key --new-key {made}/key",
}
for command, given in LOOKING.items():
    start = f"{command} {given}".strip()
    TABLE[command, "state"] = (f"{start} --state {{path}}", STORE, False)
    with_key = f"{start} --state {{made}}/state --state-key {{path}}"
    TABLE[command, "key"] = (with_key, SAME_FILE, False)
for command, given in (LOOKING | CARING).items():
    start = f"{command} {given}".strip()
    in_directory = f"{start} --node 1 --directory {{path}}"
    TABLE[command, "directory"] = (in_directory, SAME_STORE, False)
# Where the directory of a federation's own or of the walls is tested with all else about it.
ELSEWHERE = {
    ("executor", "rooms"): "tests/unit/executor/test_rooms.py",
    ("executor", "closed_directory"): "tests/unit/executor/test_room_settings.py",
    ("executor", "readable"): "tests/unit/executor/test_room_settings.py",
    ("executor", "writable"): "tests/unit/executor/test_room_settings.py",
    ("executor", "heartbeat_file"): "tests/unit/executor/test_heartbeat.py",
    # A server that is not there yet is waited for.
    ("executor", "runtime_socket"): "tests/unit/test_http_transport.py",
    # It may be made later: the first command that uses the connection reads it.
    ("connection", "root_certificates"): "tests/unit/cli/test_connection.py",
    ("local up", "readable"): "tests/unit/executor/test_room_settings.py",
    ("local up", "writable"): "tests/unit/executor/test_room_settings.py",
    # The records of ServerApps are only looked for: without any, less is known.
    ("verify", "runs"): "tests/unit/verify/test_verifier.py",
}
