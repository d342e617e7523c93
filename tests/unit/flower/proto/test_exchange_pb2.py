"""The generated messages are those of `exchange.proto`, and on the wire those of release 0.1.0."""

import re
from typing import Any

import pytest
from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import PullObjectResponse
from flwr.proto.node_pb2 import Node

from fedstate.flower.proto import exchange_pb2
from fedstate.flower.proto.exchange_pb2 import (
    PullObjectsRequest,
    PullObjectsResponse,
    PushObjectsRequest,
    PushObjectsResponse,
    PushReplyRequest,
    PushReplyResponse,
    WaitRequest,
    WaitResponse,
)
from fedstate.flower.proto.generate import SOURCE

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


@pytest.mark.parametrize(
    ("message", "sent"), SENT_BY_0_1_0, ids=lambda each: type(each).__name__
)
def test_a_message_has_the_bytes_of_release_0_1_0(message: Any, sent: str) -> None:
    assert message.SerializeToString(deterministic=True).hex() == sent
    assert type(message).FromString(bytes.fromhex(sent)) == message


def test_every_field_of_every_message_is_among_them() -> None:
    names = set(exchange_pb2.DESCRIPTOR.message_types_by_name)
    assert {type(message).__name__ for message, _ in SENT_BY_0_1_0} == names
    for message, _ in SENT_BY_0_1_0:
        assert {field.name for field, _ in message.ListFields()} == {
            field.name for field in message.DESCRIPTOR.fields
        }


def test_the_module_was_generated_from_the_source_that_is_there() -> None:
    """A change of `exchange.proto` without `make proto` fails here."""
    text = re.sub(r"//.*", "", SOURCE.read_text(encoding="utf-8"))
    described = {
        (message, label.strip(), kind, name, int(number))
        for message, body in re.findall(r"message (\w+) \{([^}]*)\}", text)
        for label, kind, name, number in re.findall(
            r"(repeated )?([\w.]+) (\w+) = (\d+);", body
        )
    }
    kinds = {1: "double", 4: "uint64", 8: "bool", 9: "string", 12: "bytes"}
    generated = {
        (
            name,
            "repeated" if field.is_repeated else "",
            field.message_type.full_name if field.message_type else kinds[field.type],
            field.name,
            field.number,
        )
        for name, message in exchange_pb2.DESCRIPTOR.message_types_by_name.items()
        for field in message.fields
    }
    assert generated == described
