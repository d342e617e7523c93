"""Every path that a SuperNode or a SuperLink takes: nothing starts if something is wrong with it.

flwr's parser reads these options, so that they are in no tree of commands. Neither command can
come to an end as a server: the address that it is given last of all cannot be used.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests import bad_paths as bad
from tests.bad_paths import Maker
from tests.commands import fedstate

from fedstate.certificates.authority import ensure_authority, ensure_server_certificate
from fedstate.superlink.options import options_parser as superlink_parser
from fedstate.supernode import main
from fedstate.supernode.options import options_parser as supernode_parser

UNREADABLE = (bad.missing, bad.below_a_file, bad.empty_directory, bad.unreadable)
FILE = (*UNREADABLE, bad.text)
DIRECTORY = (
    *(bad.text, bad.below_a_file, bad.too_long),
    *(bad.in_unreadable_directory, bad.in_unwritable_directory),
)
NEW_FILE = (bad.below_a_file, bad.empty_directory, bad.unreadable, bad.in_unwritable_directory)

TLS = {
    "--ssl-certfile": "{made}/server.crt",
    "--ssl-keyfile": "{made}/server.key",
    "--ssl-ca-certfile": "{made}/ca.crt",
}
OPEN = {"--insecure": ""}
STATE = {"--state": "{new}", "--superlink": "nowhere", "--isolation": "process"}
LINK = {"--host": "192.0.2.1", "--isolation": "process"}
NODE = {**STATE, **OPEN}

# What is given beside an option with a bad path, and what that may be.
SUPERNODE: dict[str, tuple[dict[str, str], tuple[Maker, ...]]] = {
    "--state": (NODE, (*DIRECTORY, bad.unreadable_directory)),
    "--state-key": (NODE, FILE),
    "--allow": (NODE, FILE),
    "--backup": (NODE, (*DIRECTORY, bad.unreadable_directory)),
    "--output": (NODE, DIRECTORY),
    "--trusted-entities": (NODE, UNREADABLE),
    # Any text is a secret.
    "--superexec-auth-secret-file": (NODE, UNREADABLE),
    "--root-certificates": (STATE, UNREADABLE),
    "--auth-supernode-private-key": (
        {**STATE, "--root-certificates": "{made}/ca.crt"},
        FILE,
    ),
    **dict.fromkeys(TLS, ({**NODE, **TLS}, UNREADABLE)),
}
SUPERLINK: dict[str, tuple[dict[str, str], tuple[Maker, ...]]] = {
    "--database": ({**LINK, **OPEN}, (*NEW_FILE, bad.missing_parent, bad.text)),
    "--accounts": ({**LINK, **TLS}, FILE),
    "--audit-log": ({**LINK, **OPEN}, NEW_FILE),
    "--log-file": ({**LINK, **OPEN}, NEW_FILE),
    "--superexec-auth-secret-file": ({**LINK, **OPEN}, UNREADABLE),
    **dict.fromkeys(TLS, ({**LINK, **TLS}, FILE)),
}
TABLES = {"supernode": SUPERNODE, "superlink": SUPERLINK}
# Their names alone say that they are paths.
_PATHS = ("file", "certificates", "-key", "-log", "directory", "path", "entities")
_NO_PATHS = {
    *("--keep-log", "--log-format"),
    # What may be wrong with a socket's path is in tests/unit/test_http_transport.py.
    "--runtime-socket",
    *("--log-rotation-backup-count", "--log-rotation-interval-hours"),
    # Flower knows them, and uses them no more.
    *("--auth-supernode-public-key", "--auth-list-public-keys"),
}


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    ensure_server_certificate(made, ensure_authority(made), ["localhost"])
    return made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "argv", sys.argv)
    # It would end this process, for which threads need not be waited for.
    monkeypatch.setattr(main, "_ending_in_time", nullcontext)
    (tmp_path / "bad").mkdir()
    # A SuperNode that has come as far as to its address has flwr's handlers.
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    yield tmp_path / "bad"
    for number, handler in before.items():
        signal.signal(number, handler)


def said(command: str, options: dict[str, str], made: Path, new: Path) -> str:
    """Run a command that cannot start, and return what it says last."""
    words = [word.format(made=made, new=new) for pair in options.items() for word in pair if word]
    with bad.bound_by_permissions():
        done = fedstate(command, *words)
    assert done.exit_code in (1, 2), done.output
    assert "Traceback" not in done.output
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("command", TABLES)
def test_every_path_is_in_the_table(command: str) -> None:
    parser = supernode_parser() if command == "supernode" else superlink_parser()
    paths = {
        action.option_strings[-1]
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        and (
            action.type is Path
            or any(part in action.option_strings[-1] for part in _PATHS)
            or "path to" in (action.help or "").lower()
        )
    }
    assert paths - _NO_PATHS == TABLES[command].keys()


CASES = [
    pytest.param(command, option, maker, id=f"{command}{option}-{maker.__name__}")
    for command, table in TABLES.items()
    for option, (_, makers) in table.items()
    for maker in makers
]


@pytest.mark.parametrize(("command", "option", "maker"), CASES)
def test_a_bad_path_is_named_and_nothing_starts(
    command: str, option: str, maker: Maker, here: Path, made: Path
) -> None:
    others, _ = TABLES[command][option]
    path = maker(here)
    before = bad.content(here)
    sentence = said(command, {**others, option: str(path)}, made, here.parent / "new")
    assert sentence.startswith("fedstate: "), sentence
    assert str(here) in sentence
    if option in ("--state", "--backup", "--output") and maker is bad.text:
        assert "exists already" not in sentence, "it is no directory"
    assert bad.content(here) == before


@pytest.mark.parametrize("command", TABLES)
def test_without_a_bad_path_the_address_is_what_is_wrong(
    command: str, here: Path, made: Path
) -> None:
    options = {**NODE, "--backup": str(here / "new")} if command == "supernode" else LINK | TLS
    sentence = said(command, options, made, here / "state")
    assert "nowhere" in sentence or "192.0.2.1" in sentence


def test_a_node_needs_a_key_of_its_kind(here: Path, made: Path) -> None:
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (here / "node.key").write_bytes(content)
    others, _ = SUPERNODE["--auth-supernode-private-key"]
    options = {**others, "--auth-supernode-private-key": str(here / "node.key")}
    sentence = said("supernode", options, made, here / "state")
    assert sentence.endswith(
        f"names '{here}/node.key', which is not an elliptic-curve key; `fedstate certificates "
        "node` makes one."
    )
