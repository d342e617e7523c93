"""The generated messages are those of our ``.proto`` files, on the wire as release 0.1.0 has them."""

import re
from pathlib import Path
from typing import Any

import pytest
from flwr.proto.fleet_pb2 import (
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.message_pb2 import PullObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    PullAppMessagesResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
)

from fedstate.flower.proto import evidence_pb2, exchange_pb2, nodes_pb2
from fedstate.flower.proto.evidence_pb2 import (
    Deliveries,
    Delivery,
    Dropped,
    EvidencePage,
    EvidenceRequest,
    FormerKey,
    NodeAccount,
    NodeLog,
    RunAccount,
    StoredReceipt,
    StoredReceipts,
)
from fedstate.flower.proto.exchange_pb2 import (
    LogRequest,
    PullObjectsRequest,
    PullObjectsResponse,
    PushLogRequest,
    PushLogResponse,
    PushObjectsRequest,
    PushObjectsResponse,
    PushReplyRequest,
    PushReplyResponse,
    RunLog,
    SendMessagesRequest,
    SendMessagesResponse,
    TakeRepliesRequest,
    TakeRepliesResponse,
    TakeRequest,
    TakeResponse,
    WaitRequest,
    WaitResponse,
)
from fedstate.flower.proto.generate import SOURCES
from fedstate.flower.proto.nodes_pb2 import (
    ReplaceNodeKeyRequest,
    ReplaceNodeKeyResponse,
    RestoreNodeRequest,
    RestoreNodeResponse,
)
from fedstate.witness import witness_pb2
from fedstate.witness.witness_pb2 import Receipt, StepRecord

NODE = Node(node_id=2**64 - 1)

# Each message, and what release 0.1.0 sent for it.
SENT_BY_0_1_0: list[tuple[Any, str]] = [
    (
        PullObjectsRequest(node=NODE, run_id=7, object_ids=["a", "b"]),
        "0a0b08ffffffffffffffffff0110071a01611a0162",
    ),
    (
        PullObjectsResponse(
            objects=[
                PullObjectResponse(
                    object_found=True, object_available=True, object_content=b"x"
                ),
                PullObjectResponse(),
            ]
        ),
        "0a07080110011a01780a00",
    ),
    (
        PushObjectsRequest(
            node=NODE, run_id=2**63, session_id="s", object_ids=["a", "b"], contents=[b"x", b""]
        ),
        "0a0b08ffffffffffffffffff0110808080808080808080011a01732201612201622a01782a00",
    ),
    (PushObjectsResponse(stored=[True, False]), "0a020100"),
    (
        PushReplyRequest(
            node=NODE,
            push=PushMessagesRequest(node=NODE, clientapp_runtime_list=[0.5]),
            object_ids=["a"],
            contents=[b"x"],
            confirm=True,
        ),
        "0a0b08ffffffffffffffffff0112170a0b08ffffffffffffffffff012208000000000000e03f"
        "1a01612201782801",
    ),
    (
        PushReplyResponse(
            push=PushMessagesResponse(session_id="s", objects_to_push=["a"]), stored=["a"]
        ),
        "0a061a0161220173120161",
    ),
    (
        WaitRequest(node=NODE, seen=2**64 - 1, seconds=2.5, task_ids=[1, 2**63], until=9),
        "0a0b08ffffffffffffffffff0110ffffffffffffffffff01190000000000000440"
        "220b01808080808080808080012809",
    ),
    (WaitResponse(count=2**64 - 1), "08ffffffffffffffffff01"),
]


# What came after it, and the fields that messages of 0.1.0 have got since.
SENT_SINCE: list[tuple[Any, str]] = [
    (PullObjectsRequest(seconds=0.5), "21000000000000e03f"),
    (RunLog(held_by=2**64 - 1), "58ffffffffffffffffff01"),
    (WaitRequest(run_ids=[1, 2**63], ends=2**64 - 1), "320b018080808080808080800138ffffffffffffffffff01"),
    (WaitResponse(ended_task_ids=[1], ended_run_ids=[2**63], ends=3), "1201011a0a808080808080808080012003"),
    (Receipt(record=b"r", signature=b"s"), "0a0172120173"),
    (PushReplyRequest(receipt=Receipt(record=b"r")), "52030a0172"),
    (WaitRequest(answers_log_requests=True), "5001"),
    (LogRequest(request_id="q", run_ids=[1, 2**63], after_sequence=9, held=True), "0a0171120b018080808080808080800118092001"),
    (WaitResponse(log_requests=[LogRequest(request_id="q")]), "52030a0171"),
    (RunLog(run_id=2**64 - 1, present=True, series_id=2**63, complete=True, length=9, pruned=3, anchor=b"a", head=b"h", held=b"d", problem="p"), "08ffffffffffffffffff01100118808080808080808080012001280930033a01614201684a01" "64520170"),
    (PushLogRequest(node=NODE, request_id="q", receipts=[Receipt(record=b"r", signature=b"s")], runs=[RunLog(run_id=7)], last=True, problem="p", store_id="5", opening=b"o", generation=4), "0a0b08ffffffffffffffffff011201711a060a01721201732202080728013201703a01354201" "6f4804"),
    (PushLogResponse(wanted=True), "0801"),
    (StepRecord(sequence=1, run_sequence=2, run_id=2**64 - 1, series_id=2**63, node_id=3, store_id="5", group_id="1", action="train", message_id="m", handed_out=b"h", stored=b"s", state_bytes=4, new_bytes=5, app_seconds=0.5, commit_seconds=0.25, time=2.0, outcome="failed", reason="r", previous=b"p", previous_of_store=b"q", generation=6, opening=b"o"), "0801100218ffffffffffffffffff01208080808080808080800128033201353a013142057472" "61696e4a016d5201685a01736004680571000000000000e03f79000000000000d03f81010000" "0000000000408a01066661696c6564920101729a010170a2010171a80106b201016f"),
    (EvidenceRequest(run_ids=[1, 2**63], ask_nodes=True, seconds=2.5), "0a0b01808080808080808080011001190000000000000440"),
    (EvidencePage(runs=[RunAccount(run_id=1)], nodes=[NodeAccount(node_id=2)], deliveries=[Delivery(run_id=3)], receipts=[StoredReceipt(run_id=4)], logs=[NodeLog(node_id=5)], later_deliveries=[Delivery(run_id=6)]), "0a020801120208021a020803220208042a02080532020806"),
    (StepRecord(source_run=1, source_number=2), "b80101c00102"),
    (RunAccount(run_id=1, from_run="12@3"), "0801320431324033"),
    (RunAccount(run_id=1, from_run=""), "08013200"),
    (RunAccount(run_id=2**64 - 1, series_id=7, status="running", submitted_at=0.5, finished_at=1.5), "08ffffffffffffffffff0110071a0772756e6e696e6721000000000000e03f29000000000000f83f"),
    (NodeAccount(node_id=2**64 - 1, public_key=b"k", status="online"), "08ffffffffffffffffff0112016b1a066f6e6c696e65"),
    (Delivery(run_id=2**64 - 1, node_id=3, message_id="m", group_id="1", action="train", delivered_at=0.5, answered_at=1.5, reply_id="r", failed=True), "08ffffffffffffffffff0110031a016d2201312a05747261696e31000000000000e03f39000000000000f83f4201724801"),
    (StoredReceipt(run_id=2**64 - 1, node_id=3, message_id="m", receipt=Receipt(record=b"r"), received_at=0.5), "08ffffffffffffffffff0110031a016d22030a017229000000000000e03f"),
    (NodeLog(node_id=2**64 - 1, state="answered", receipts=[Receipt(record=b"r")], runs=[RunLog(run_id=7)], problem="p", store_id="5", opening=b"o", generation=4), "08ffffffffffffffffff011208616e7377657265641a030a0172220208072a01703201353a016f4004"),
    (NodeAccount(node_id=2, former_keys=[FormerKey(public_key=b"k")]), "080222030a016b"),
    (FormerKey(public_key=b"k", until=0.5), "0a016b11000000000000e03f"),
    (ReplaceNodeKeyRequest(node_id=2**64 - 1, public_key=b"k"), "08ffffffffffffffffff0112016b"),
    (ReplaceNodeKeyResponse(changed=True), "0801"),
    (RestoreNodeRequest(node_id=2**64 - 1), "08ffffffffffffffffff01"),
    (RestoreNodeResponse(changed=True), "0801"),
    (EvidencePage(dropped=[Dropped(run_id=7)], account_began_at=0.5), "3a02080741000000000000e03f"),
    (Dropped(run_id=2**64 - 1, node_id=3, deliveries=4, receipts=5, store_id="6", step=7, anchor=b"a"), "08ffffffffffffffffff011003180420052a013630073a0161"),
    (WaitResponse(tells_all_tasks=True), "2801"),
    (TakeRequest(node=NODE, seconds=2.5, heartbeat_interval=0.5, run_ids=[1, 2**63], answers_log_requests=True, again=True, have=["m"]), "0a0b08ffffffffffffffffff0111000000000000044019000000000000e03f220b0180808080808080808001280130013a016d"),
    (TakeResponse(known=True, pulled=PullMessagesResponse(), object_ids=["a"], contents=[b"x"], ended_run_ids=[2**63], ends=3, log_requests=[LogRequest(request_id="q")]), "080112001a01612201782a0a80808080808080808001300352030a0171"),
    (SendMessagesRequest(node=NODE, push=PushAppMessagesRequest(), object_ids=["a"], contents=[b"x"], confirmed=["m"]), "0a0b08ffffffffffffffffff0112001a01612201782a016d"),
    (SendMessagesResponse(push=PushAppMessagesResponse(session_id="s"), stored=["a"]), "0a031a0173120161"),
    (TakeRepliesRequest(node=NODE, message_ids=["m"], seconds=2.5, gather_share=0.5, gather_seconds=1.5, sent_ago=0.25, confirmed=["c"], number=2**64 - 1, received=[1, 2**63]), "0a0b08ffffffffffffffffff0112016d19000000000000044021000000000000e03f29000000000000f83f31000000000000d03f3a016340ffffffffffffffffff014a0b0180808080808080808001"),
    (TakeRepliesResponse(pulled=PullAppMessagesResponse(), object_ids=["a"], contents=[b"x"]), "0a001201611a0178"),
    (EvidenceRequest(columns=True), "2001"),
    (EvidencePage(delivery_columns=Deliveries(run_id=1), later_delivery_columns=Deliveries(run_id=2), receipt_columns=StoredReceipts(run_id=3)), "4a020801520208025a020803"),
    (Deliveries(run_id=2**64 - 1, node_ids=[3, 2**63], message_ids=["m"], group_ids=["1"], actions=["train"], delivered_at=[0.5], answered_at=[1.5], reply_ids=["r"], failed=[True]), "08ffffffffffffffffff011210030000000000000000000000000000801a016d2201312a05747261696e3208000000000000e03f3a08000000000000f83f4201724a0101"),
    (StoredReceipts(run_id=2**64 - 1, node_ids=[3], records=[b"r"], signatures=[b"s"]), "08ffffffffffffffffff01120803000000000000001a0172220173"),
    (NodeLog(places=[1, 300], records=[b"r"], signatures=[b"s"]), "4a01725201735a0301ac02"),
]


@pytest.mark.parametrize(
    ("message", "sent"), SENT_BY_0_1_0 + SENT_SINCE, ids=lambda each: type(each).__name__
)
def test_a_message_has_the_bytes_that_were_released(message: Any, sent: str) -> None:
    assert message.SerializeToString(deterministic=True).hex() == sent
    assert type(message).FromString(bytes.fromhex(sent)) == message


MODULES = (witness_pb2, exchange_pb2, evidence_pb2, nodes_pb2)


def test_every_field_of_every_message_is_among_them() -> None:
    sent: dict[str, set[str]] = {}
    for message, _ in SENT_BY_0_1_0 + SENT_SINCE:
        fields = {field.name for field, _ in message.ListFields()}
        sent[type(message).__name__] = sent.get(type(message).__name__, set()) | fields
    assert sent == {
        name: {field.name for field in message.fields}
        for module in MODULES
        for name, message in module.DESCRIPTOR.message_types_by_name.items()
    }


def test_the_modules_were_generated_from_the_sources_that_are_there() -> None:
    """A change of a ``.proto`` file without `make proto` fails here."""
    for module, source in zip(MODULES, SOURCES, strict=True):
        assert described(source) == generated(module)


def described(source: Path) -> set[tuple[str, str, str, str, int]]:
    text = re.sub(r"//.*", "", source.read_text(encoding="utf-8"))
    return {
        (message, label.strip(), kind, name, int(number))
        for message, body in re.findall(r"message (\w+) \{([^}]*)\}", text)
        for label, kind, name, number in re.findall(
            r"(repeated )?([\w.]+) (\w+) = (\d+);", body
        )
    }


def generated(module: Any) -> set[tuple[str, str, str, str, int]]:
    kinds = {1: "double", 4: "uint64", 6: "fixed64", 8: "bool", 9: "string", 12: "bytes", 13: "uint32"}
    return {
        (
            name,
            "repeated" if field.is_repeated else "",
            # Those of our own package go by their names alone.
            field.message_type.full_name.removeprefix("fedstate.")
            if field.message_type
            else kinds[field.type],
            field.name,
            field.number,
        )
        for name, message in module.DESCRIPTOR.message_types_by_name.items()
        for field in message.fields
    }
