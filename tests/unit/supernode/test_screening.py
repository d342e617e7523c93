"""Which apps a node takes: ten attempts to get one past the list, and a list that changes."""

import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from flwr.proto.fab_pb2 import GetFabResponse
from tests.unit.superlink_in_process import PROJECT, Fault, Handle, fab
from tests.unit.supernode.signing import Publisher
from tests.unit.supernode.stepping import Node

from fedstate.flower.errors import ErrorCode
from fedstate.flower.runs import Fab
from fedstate.supernode.screening import Allowed, Screening

MAYA, MALLORY = Publisher("fpk_maya"), Publisher("fpk_mallory")
GOOD = fab()
HASH = hashlib.sha256(GOOD).hexdigest()
EVIL = fab(code="app = print")
OTHER = fab(PROJECT.replace("1.0.0", "2.0.0"))

BY_HASH = f'[[allow]]\nhash = "{HASH}"\n'
BY_NAME = '[[allow]]\napp = "fedstate/app"\nversion = "==1.0.*"\n'
BY_PUBLISHER = (
    f'[publishers]\n{MAYA.key_id} = "{MAYA.public_key}"\n'
    f'[[allow]]\napp = "fedstate/app"\nsigned-by = "{MAYA.key_id}"\n'
)


def write(file: Path, text: str) -> None:
    """Put a list in the place of the one that is there, as editors do."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


@pytest.fixture
def allow(tmp_path: Path) -> Path:
    file = tmp_path / "allow.toml"
    write(file, BY_HASH)
    return file


@pytest.fixture
def node(stepping_node: Node, allow: Path) -> Node:
    stepping_node.screening = Screening(None, Allowed(allow))
    return stepping_node


def refused(node: Node, run_id: int, log: pytest.LogCaptureFixture, *texts: str) -> None:
    """Send a message of a run; it is refused, said to everybody, and nothing is made of it."""
    log.clear()
    message_id = node.pull_new(run_id)
    node.wait_for_end()
    reply = node.reply(run_id, message_id)
    assert reply.has_error()
    assert reply.error.code == ErrorCode.INVALID_FAB
    reason = str(reply.error.reason)
    for text in texts:
        assert text in reason
    assert [each for each in log.messages if reason in each] == [
        f"Message {message_id} is refused: {reason}"
    ]
    assert not node.tasks(run_id)
    assert node.store.step(message_id) is None
    receipt = node.store.receipt(message_id)
    assert receipt is not None
    assert (receipt.record.outcome, receipt.record.reason) == ("failed", reason)


def taken(node: Node, run_id: int) -> None:
    """Send a message of a run, and make its step."""
    message_id = node.pull_new(run_id)
    node.train(node.take_task(run_id))
    node.wait_for_end()
    assert not node.reply(run_id, message_id).has_error()


def two_projects() -> bytes:
    """Return a FAB that has the good one's name first and another one's after it."""
    content = io.BytesIO(GOOD)
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("./pyproject.toml", PROJECT.replace('"app"', '"evil"'))
    return content.getvalue()


def swapped(content: bytes, fab_hash: str) -> Fault:
    """Return a SuperLink that hands out other bytes under a hash."""

    def fault(_handle: Handle) -> httpx.Response:
        answer = GetFabResponse()
        answer.fab.hash_str, answer.fab.content = fab_hash, content
        return httpx.Response(200, content=answer.SerializeToString())

    return fault


Attempt = Callable[[Node, Path], int]


def start(node: Node, content: bytes, signatures: dict[str, str] | None = None) -> int:
    return node.superlink.start_run(content, signatures=signatures)


def same_name_changed_file(node: Node, _: Path) -> int:
    return start(node, EVIL)


def another_version(node: Node, allow: Path) -> int:
    write(allow, BY_NAME)
    return start(node, OTHER)


def another_publisher_of_the_same_name(node: Node, allow: Path) -> int:
    write(allow, BY_NAME)
    return start(node, fab(PROJECT.replace('"fedstate"', '"fedstate2"')))


def a_hash_that_begins_alike(node: Node, allow: Path) -> int:
    last = "0" if HASH[-1] != "0" else "1"
    write(allow, f'[[allow]]\nhash = "{HASH[:-1]}{last}"')
    return start(node, GOOD)


def other_bytes_under_the_allowed_hash(node: Node, _: Path) -> int:
    node.connection.plan("get-fab", swapped(EVIL, HASH))
    return start(node, GOOD)


def signed_by_a_stranger(node: Node, allow: Path) -> int:
    write(allow, BY_PUBLISHER)
    return start(node, fab(code="1"), MALLORY.sign(fab(code="1")))


def signed_by_a_stranger_in_the_publishers_name(node: Node, allow: Path) -> int:
    write(allow, BY_PUBLISHER)
    forged = {MAYA.key_id: MALLORY.sign(fab(code="2"))[MALLORY.key_id], "valid_license": "Valid"}
    return start(node, fab(code="2"), forged)


def a_signature_of_another_fab(node: Node, allow: Path) -> int:
    write(allow, BY_PUBLISHER)
    return start(node, fab(code="3"), MAYA.sign(GOOD))


def two_names_in_one_fab(node: Node, allow: Path) -> int:
    write(allow, BY_NAME)
    return start(node, two_projects())


def no_name_at_all(node: Node, allow: Path) -> int:
    write(allow, BY_NAME)
    return start(node, b"no archive")


@pytest.mark.parametrize(
    ("attempt", "text"),
    [
        (same_name_changed_file, "does not allow the app 'fedstate/app' 1.0.0 with the FAB hash"),
        (another_version, "does not allow the app 'fedstate/app' 2.0.0"),
        (another_publisher_of_the_same_name, "does not allow the app 'fedstate2/app'"),
        (a_hash_that_begins_alike, f"with the FAB hash {HASH}"),
        (other_bytes_under_the_allowed_hash, f"and the run's is {HASH}."),
        (signed_by_a_stranger, "does not allow the app 'fedstate/app' 1.0.0"),
        (signed_by_a_stranger_in_the_publishers_name, "does not allow the app"),
        (a_signature_of_another_fab, "does not allow the app"),
        (two_names_in_one_fab, "without a name (it has 2 files pyproject.toml"),
        (no_name_at_all, "an app without a name (its pyproject.toml cannot be read"),
    ],
)
def test_an_app_that_is_not_in_the_list_is_denied(
    node: Node, allow: Path, attempt: Attempt, text: str, log: pytest.LogCaptureFixture
) -> None:
    refused(node, attempt(node, allow), log, text)
    assert node.store.runs() == []  # neither its FAB nor a Context came onto the node


def test_an_app_that_is_in_the_list_is_taken(node: Node, allow: Path) -> None:
    taken(node, start(node, GOOD))
    write(allow, BY_PUBLISHER)
    signed = fab(code="4")
    taken(node, start(node, signed, MAYA.sign(signed)))


def test_what_was_replaced_in_the_store_after_it_was_admitted_is_denied(
    node: Node, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = start(node, GOOD)
    message_id = node.pull_new(run_id)
    node.train(node.take_task(run_id))
    node.wait_for_end()
    node.reply(run_id, message_id)
    # The next SuperNode finds other bytes under the same hash, as an older release may have left.
    node.kill()
    node.start()
    monkeypatch.setattr(node.state, "get_fab", lambda _: Fab(HASH, EVIL, {}))
    refused(node, run_id, log, f"and the run's is {HASH}.")


def test_a_run_that_is_taken_out_of_the_list_ends_with_its_next_step(
    node: Node, allow: Path, log: pytest.LogCaptureFixture
) -> None:
    run_id = start(node, GOOD)
    taken(node, run_id)
    write(allow, BY_HASH.replace(HASH, "0" * 64))
    refused(node, run_id, log, "does not allow the app 'fedstate/app' 1.0.0")
    write(allow, BY_HASH)
    taken(node, run_id)


def test_a_step_that_the_last_supernode_left_is_looked_at_again(node: Node, allow: Path) -> None:
    run_id = start(node, GOOD)
    message_id = node.pull_new(run_id)
    node.take_task(run_id)
    node.kill()
    write(allow, BY_HASH.replace(HASH, "0" * 64))
    node.start()
    node.steps.resume()
    node.wait_for_end()
    assert "does not allow" in str(node.reply(run_id, message_id).error.reason)
    assert not node.tasks(run_id)


def test_a_committed_reply_is_sent_though_its_app_is_not_allowed_any_longer(
    node: Node, allow: Path
) -> None:
    run_id = start(node, GOOD)
    message_id = node.pull_new(run_id)
    node.train(node.take_task(run_id))
    node.wait_for_end()
    write(allow, "")
    node.superlink.send_again(message_id)
    node.pull()
    node.wait_for_end()
    assert not node.reply(run_id, message_id).has_error()


@pytest.mark.parametrize("broken", ["[[allow", None])
def test_while_the_list_cannot_be_read_old_runs_go_on_and_new_ones_are_refused(
    node: Node, allow: Path, broken: str | None, log: pytest.LogCaptureFixture
) -> None:
    old = start(node, GOOD)
    taken(node, old)
    if broken is None:
        allow.unlink()
    else:
        write(allow, broken)
    log.clear()
    taken(node, old)
    taken(node, old)
    said = [each for each in log.messages if "No new run is taken until it is right." in each]
    assert len(said) == 1
    new = start(node, GOOD)
    refused(node, new, log, "takes no new run: its list of allowed apps cannot be read.")
    write(allow, BY_HASH)
    taken(node, new)


def test_a_list_that_is_written_in_place_is_read_again(allow: Path) -> None:
    allowed = Allowed(allow)
    before = allowed.current()
    assert allowed.current() == before
    allow.write_text("")
    os.utime(allow, ns=(1, 1))  # whatever its clock says
    assert allowed.current() == (2, (), True)


def test_an_entry_that_trusts_a_name_alone_is_warned_of(
    allow: Path, log: pytest.LogCaptureFixture
) -> None:
    write(allow, BY_HASH + BY_NAME + '[[allow]]\napp = "a/b"\nhash = "' + HASH + '"\n')
    Allowed(allow)
    warned = [each for each in log.messages if "every app that calls itself" in each]
    assert len(warned) == 1
    assert warned[0].startswith("Entry 2 of ")


def test_trusted_entities_have_their_say_beside_the_list(allow: Path) -> None:
    unsigned, signed = Fab(HASH, GOOD, {}), Fab(HASH, GOOD, MAYA.sign(GOOD))
    assert Screening(None)(unsigned) is None
    assert Screening(None).rules is None
    trusted = {MAYA.key_id: MAYA.public_key}
    for screening in (Screening(trusted), Screening(trusted, Allowed(allow))):
        assert screening(unsigned) == "The FAB could not be verified."
        assert screening(Fab(HASH, GOOD, {"valid_license": "Valid"})) is not None
        assert screening(signed) is None
        assert screening.rules is not None
