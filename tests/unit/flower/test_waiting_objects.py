"""Objects beyond a bound wait in a file, and are what they were."""

import hashlib
import os

import pytest
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.task_identity import TaskIdentity

from fedstate.flower import waiting_objects
from fedstate.flower.stored_values import Envelope, ReplyObjects, decode_reply, encode_reply
from fedstate.flower.waiting_objects import WaitingObjectStore
from fedstate.large.spool import Spooled

MEBIBYTE = 2**20
RUN = 7


@pytest.fixture(autouse=True)
def _a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    monkeypatch.setattr("flwr.app.message.array.FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE", MEBIBYTE)


def objects_of(message: Message) -> tuple[Envelope, dict[str, bytes]]:
    from flwr.supercore.inflatable.inflatable_object import (
        get_all_nested_objects,
        get_object_tree,
    )

    message.metadata.__dict__["_message_id"] = message.object_id
    contents = {key: each.deflate() for key, each in get_all_nested_objects(message).items()}
    return Envelope(message, get_object_tree(message)), contents


def stored(kept_bytes: int | None) -> tuple[WaitingObjectStore, Envelope, dict[str, bytes]]:
    arrays = {"large": Array("own", (1,), "own", os.urandom(5 * MEBIBYTE + 1))}
    arrays["small"] = Array("own", (1,), "own", b"small")
    content = RecordDict({"arrays": ArrayRecord(arrays)})
    envelope, contents = objects_of(Message(content, dst_node_id=1, message_type="train"))
    store = WaitingObjectStore(kept_bytes)
    store.preregister(RUN, envelope.tree)
    for object_id, each in contents.items():
        store.put(object_id, each)
        store.register(RUN, object_id)
    return store, envelope, contents


def in_file(store: WaitingObjectStore) -> int:
    return sum(isinstance(entry.content, Spooled) for entry in store.store.values())


@pytest.mark.parametrize(
    ("kept", "waiting"), [(0, 5), (3 * MEBIBYTE, 3), (9 * MEBIBYTE, 0), (None, 0)]
)
def test_objects_are_what_they_were(kept: int | None, waiting: int) -> None:
    store, envelope, contents = stored(kept)
    assert in_file(store) == waiting
    assert {key: store.get(key) for key in contents} == contents
    views = {key: store.view(key) for key in contents}
    assert {key: bytes(view or b"") for key, view in views.items()} == contents
    reply = ReplyObjects({key: view for key, view in views.items() if view is not None})
    value = encode_reply(envelope, reply)
    assert value == encode_reply(envelope, contents)
    assert decode_reply(value)[1] == contents
    store.delete(envelope.message.metadata.message_id)
    assert len(store) == 0
    assert dict(reply) == contents, "a step has them for as long as it needs them"


def test_what_is_not_the_object_is_refused_before_it_is_kept() -> None:
    store = WaitingObjectStore(0)
    content = b"ArrayChunk  2097152\0" + bytes(2 * MEBIBYTE)
    object_id = hashlib.sha256(content).hexdigest()
    store.preregister(RUN, ObjectTree(object_id=object_id))
    with pytest.raises(ValueError, match="does not match"):
        store.put(object_id, content[:-1] + b"x")
    assert store.get(object_id) == b""
    store.put(object_id, content)
    assert in_file(store) == 1
    assert store.get(object_id) == content
    assert store.get("other") is None
    assert store.view("other") is None


def test_a_file_that_has_grown_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_objects, "_FILE_BYTES", 2 * MEBIBYTE)
    store, _, _ = stored(0)
    contents = [entry.content for entry in store.store.values()]
    files = {id(each._spool) for each in contents if isinstance(each, Spooled)}
    assert len(files) == 3
