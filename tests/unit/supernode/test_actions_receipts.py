"""The receipt of each step goes with its reply, whatever way that takes."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from flwr.app import Error
from flwr.common.constant import NOOP_FLWR_AID
from tests.superlink_application import key_pair
from tests.unit.superlink_in_process import answers
from tests.unit.supernode.stepping import REPLY, Node

from fedstate.exchange import paths
from fedstate.flower.errors import ErrorCode
from fedstate.flower.log_pages import LogPage
from fedstate.flower.own_key import OwnKey
from fedstate.flower.witnessed_state import evidence_of
from fedstate.store.errors import StoreFullError
from fedstate.witness.receipts import Receipt, is_signed_by

KEYS = key_pair()


class Sent:
    """What a node has sent of its log, in order."""

    def __init__(self, node: Node, patch: pytest.MonkeyPatch) -> None:
        self.receipts: list[Receipt | None] = []
        self.calls: list[str] = []
        push_reply, push_log, announce = (
            node.api.push_reply,
            node.api.push_log,
            node.api.announce_reply,
        )

        def reply(*given: Any, **options: Any) -> bool:
            self.calls.append("reply")
            self.receipts.append(given[3])
            return push_reply(*given, **options)

        def log(page: LogPage) -> bool:
            self.calls.append("log")
            self.receipts += page.receipts
            return push_log(page)

        def announced(*given: Any) -> Any:
            self.calls.append("pieces")
            return announce(*given)

        patch.setattr(node.api, "push_reply", reply)
        patch.setattr(node.api, "push_log", log)
        patch.setattr(node.api, "announce_reply", announced)
        patch.setattr(node.link, "_own_key", OwnKey(KEYS))


@pytest.fixture
def sent(stepping_node: Node, monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(stepping_node, monkeypatch)


def rows(node: Node, run_id: int) -> list[Receipt]:
    return node.store.rows_after(0, [run_id], 100)


def test_the_receipt_is_the_row_signed_and_its_signature_is_noted(
    stepping_node: Node, sent: Sent, run_id: int
) -> None:
    message_id = stepping_node.pull_new(run_id)
    stepping_node.train(stepping_node.take_task(run_id))
    stepping_node.wait_for_end()
    (receipt,) = sent.receipts
    assert receipt is not None
    assert is_signed_by(receipt, KEYS[1])
    assert receipt.record.message_id == message_id
    assert rows(stepping_node, run_id) == [receipt]


@pytest.mark.parametrize("batch", [1, 2**20], ids=["in pieces", "in one request"])
def test_a_receipt_has_the_signature_of_the_key_by_which_it_is_sent(
    stepping_node: Node,
    run_id: int,
    batch: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The key is replaced when the reply is signed already, and not sent yet."""
    monkeypatch.setattr("fedstate.supernode.replies.BATCH_BYTES", batch)
    own_key, next_key, file = stepping_node.api._own_key, key_pair(), tmp_path / "node.key"
    file.write_bytes(
        next_key[0].private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    )
    monkeypatch.setattr(stepping_node.link, "_own_key", own_key)
    monkeypatch.setattr(own_key, "_file", file)
    sign = stepping_node.link.sign

    def signed_too_early(receipt: Receipt) -> Receipt:
        signed = sign(receipt)
        assert is_signed_by(signed, own_key.pair[1])
        encoded = next_key[1].public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        node_id = stepping_node.api.node_id
        assert stepping_node.superlink.state.replace_key(NOOP_FLWR_AID, node_id, encoded)
        return signed

    monkeypatch.setattr(stepping_node.link, "sign", signed_too_early)
    stepping_node.pull_new(run_id)
    stepping_node.train(stepping_node.take_task(run_id))
    stepping_node.wait_for_end()
    (row,) = rows(stepping_node, run_id)
    assert is_signed_by(row, next_key[1])
    (stored,) = evidence_of(stepping_node.superlink.state).receipts([run_id])
    (sent,) = map(Receipt, stored.records, stored.signatures)
    assert is_signed_by(sent, next_key[1])


def test_an_error_has_its_receipt_too(stepping_node: Node, sent: Sent, run_id: int) -> None:
    stepping_node.pull_new(run_id)
    error = Error(ErrorCode.CLIENT_APP_RAISED, "the reason")
    stepping_node.train(stepping_node.take_task(run_id), error)
    stepping_node.wait_for_end()
    (receipt,) = sent.receipts
    assert receipt is not None
    assert is_signed_by(receipt, KEYS[1])
    assert (receipt.record.outcome, receipt.record.reason) == ("failed", "the reason")
    assert rows(stepping_node, run_id) == [receipt]


def test_a_message_that_is_refused_has_a_receipt(
    stepping_node: Node, sent: Sent, run_id: int
) -> None:
    stepping_node.refused = "The FAB could not be verified."
    stepping_node.pull_new(run_id)
    (receipt,) = sent.receipts
    assert receipt is not None
    assert receipt.record.reason == "The FAB could not be verified."
    assert receipt.record.series_id == 0


def test_a_reply_in_pieces_follows_its_receipt(
    stepping_node: Node, sent: Sent, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedstate.supernode.replies.BATCH_BYTES", 1)
    stepping_node.pull_new(run_id)
    stepping_node.train(stepping_node.take_task(run_id))
    stepping_node.wait_for_end()
    assert sent.calls == ["log", "pieces"]
    assert sent.receipts == rows(stepping_node, run_id)


def test_a_reply_that_is_sent_again_has_the_same_row(
    stepping_node: Node, sent: Sent, run_id: int
) -> None:
    stepping_node.connection.plan(REPLY, answers(500), answers(500))
    stepping_node.pull_new(run_id)
    stepping_node.train(stepping_node.take_task(run_id))
    stepping_node.wait_for_end()
    assert len(sent.receipts) > 1
    assert len({each.encode() for each in sent.receipts if each}) == 1


def test_the_next_supernode_signs_the_row_that_was_committed(
    stepping_node: Node, sent: Sent, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepping_node.connection.down(REPLY, answers(500))
    message_id = stepping_node.pull_new(run_id)
    stepping_node.train(stepping_node.take_task(run_id))
    stepping_node.kill()
    stepping_node.connection.up()
    stepping_node.start()
    again = Sent(stepping_node, monkeypatch)
    stepping_node.steps.resume()
    stepping_node.wait_for_end()
    stepping_node.reply(run_id, message_id)
    receipt = again.receipts[0]
    assert receipt is not None
    assert is_signed_by(receipt, KEYS[1])
    assert [each.row for each in rows(stepping_node, run_id)] == [receipt.row]
    assert all(each is None or each.row == receipt.row for each in sent.receipts)


def test_a_failure_for_whose_row_there_is_no_room_is_answered_and_logged_later(
    stepping_node: Node, sent: Sent, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreFullError("The disk is full.")

    stepping_node.pull_new(run_id)
    monkeypatch.setattr(stepping_node.store, "record_failure", full)
    stepping_node.steps.fail(stepping_node.take_task(run_id), "It vanished.")
    stepping_node.wait_for_end()
    assert sent.receipts == [None]
    (row,) = rows(stepping_node, run_id)
    assert row.record.reason == "It vanished."


def test_a_step_whose_run_has_ended_leaves_a_row(
    stepping_node: Node, sent: Sent, run_id: int
) -> None:
    stepping_node.pull_new(run_id)
    stepping_node.take_task(run_id)
    stepping_node.steps.end_run(run_id)
    stepping_node.wait_for_end()
    (row,) = rows(stepping_node, run_id)
    assert row.record.reason == "The run has ended."
    assert sent.calls == []


def test_at_flowers_own_superlink_the_receipts_stay_on_the_node(
    stepping_node: Node, sent: Sent, run_id: int
) -> None:
    stepping_node.connection.down(REPLY, answers(404))
    stepping_node.connection.down(paths.FLEET_LOG.rpartition("/")[2], answers(404))
    message_id = stepping_node.pull_new(run_id)
    stepping_node.train(stepping_node.take_task(run_id))
    stepping_node.wait_for_end()
    assert not stepping_node.reply(run_id, message_id).has_error()
    (row,) = rows(stepping_node, run_id)
    assert is_signed_by(row, KEYS[1])
    stepping_node.connection.up()
