"""Arrays become the same objects as by flwr's own code, with less done for each byte."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.app.message import array as flwrs_arrays
from flwr.app.message.arraychunk import ArrayChunk
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.flower import array_objects
from fedstate.large.spool import ArrayOfPieces

CHUNK = 64
_BOUND: dict[Any, tuple[str, ...]] = {
    ArrayChunk: ("deflate", "object_id", "inflate"),
    Array: ("from_numpy_ndarray", "slice_array", "inflate"),
    ArrayRecord: ("inflate",),
    inflatable_utils: ("push_object_contents_from_iterable",),
}


class Quick:
    """flwr's classes as they are, and with what we bind in their place."""

    def __init__(self) -> None:
        self._theirs = self._bound()
        array_objects.use_quick_objects()
        self._ours = self._bound()
        self.off()

    def on(self) -> None:
        self._bind(self._ours)

    def off(self) -> None:
        self._bind(self._theirs)

    @staticmethod
    def _bound() -> dict[Any, dict[str, Any]]:
        return {
            cls: {name: vars(cls)[name] for name in names if name in vars(cls)}
            for cls, names in _BOUND.items()
        }

    @staticmethod
    def _bind(bound: dict[Any, dict[str, Any]]) -> None:
        for cls, names in _BOUND.items():
            for name in names:
                if name in bound[cls]:
                    setattr(cls, name, bound[cls][name])
                elif name in vars(cls):
                    delattr(cls, name)


@pytest.fixture(scope="module")
def quick() -> Iterator[Quick]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_run_id", "_node_id", "_task_id"):
            patch.setattr(TaskIdentity, name, 1)
        for module in (flwrs_arrays, array_objects):
            patch.setattr(module, "FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE", CHUNK)
        quick = Quick()
        yield quick
        quick.off()


def message(*contents: bytes) -> Message:
    arrays = {
        str(n): Array("uint8", (len(content),), "own", content)
        for n, content in enumerate(contents)
    }
    content = RecordDict({"arrays": ArrayRecord(arrays), "none": ArrayRecord()})
    content["metrics"] = MetricRecord({"loss": [0.5]})
    content["config"] = ConfigRecord({"raw": b"ArrayChunk\0" * 20})
    made = Message(content, dst_node_id=1, message_type="train")
    made.metadata.__dict__["_created_at"] = 1.0
    return made


def taken_apart(whole: Message) -> tuple[Any, dict[str, bytes]]:
    """Do what flwr does to push a message."""
    whole.metadata.__dict__["_message_id"] = whole.object_id
    with no_object_id_recompute():
        tree = get_object_tree(whole)
        nested = get_all_nested_objects(whole)
        return tree, {key: each.deflate() for key, each in nested.items()}


CONTENTS = st.lists(
    st.one_of(
        st.binary(max_size=3 * CHUNK),
        st.integers(0, 4 * CHUNK).map(bytes),  # zeros: chunks that are equal
    ),
    max_size=4,
)


@settings(deadline=None)
@given(CONTENTS)
def test_objects_are_flwrs_and_come_back_as_they_were(
    quick: Quick, contents: list[bytes]
) -> None:
    quick.off()
    theirs = taken_apart(message(*contents))
    quick.on()
    ours = taken_apart(message(*contents))
    assert ours == theirs
    tree, objects = ours
    again = inflate_object_from_contents(tree.object_id, dict(objects))
    assert isinstance(again, Message)
    assert again.content == message(*contents).content
    assert taken_apart(again) == theirs, "what was received is sent on"


def test_each_byte_is_hashed_once(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    quick.on()
    hashed: list[int] = []
    sha256 = hashlib.sha256

    class Counting:
        def __init__(self, data: bytes = b"") -> None:
            self._digest = sha256(data)

        def update(self, data: memoryview) -> None:
            hashed.append(len(data))
            self._digest.update(data)

        def hexdigest(self) -> str:
            return self._digest.hexdigest()

    monkeypatch.setattr(hashlib, "sha256", Counting)
    content = np.random.default_rng(0).bytes(10 * CHUNK)
    whole = message(content, content[CHUNK:])
    taken_apart(whole)
    assert sum(hashed) == 19 * CHUNK
    taken_apart(whole)
    assert sum(hashed) == 19 * CHUNK, "sent once more, to another node"


def test_a_chunk_that_can_change_is_hashed_again(quick: Quick) -> None:
    quick.on()
    content = bytearray(b"abc")
    chunk = ArrayChunk(memoryview(content))
    before = chunk.object_id
    content[0] = 0
    assert chunk.object_id != before
    chunk.data = memoryview(b"abc")
    assert chunk.object_id == before


def put_together(*contents: bytes) -> ArrayRecord:
    tree, objects = taken_apart(message(*contents))
    again = inflate_object_from_contents(tree.object_id, objects)
    assert isinstance(again, Message)
    return again.content.array_records["arrays"]


def test_an_array_is_in_its_pieces_until_somebody_wants_them_as_one(quick: Quick) -> None:
    quick.on()
    content = np.random.default_rng(0).bytes(5 * CHUNK + 1)
    array = put_together(content)["0"]
    assert isinstance(array, ArrayOfPieces)
    assert len(array._pieces or ()) == 6
    data = array.data
    assert data == content
    assert array.data is data, "it is put together once"
    assert array._pieces is None, "and is in memory once"


def test_equal_arrays_can_be_given_other_bytes_each_by_itself(quick: Quick) -> None:
    quick.on()
    content = np.random.default_rng(0).bytes(2 * CHUNK)
    record = put_together(content, content)
    assert record["0"] is not record["1"]
    record["0"].data = b"other"
    assert (record["0"].data, record["1"].data) == (b"other", content)


@pytest.mark.parametrize(
    "content", [b"Array  3\0abc", b"ArrayChunk", b"", b"ArrayChunkX  3\0abc"]
)
def test_what_is_no_chunk_is_refused_as_by_flwr(quick: Quick, content: bytes) -> None:
    outcomes = []
    for switch in (quick.off, quick.on):
        switch()
        with pytest.raises((ValueError, IndexError)) as raised:
            ArrayChunk.inflate(content)
        outcomes.append((type(raised.value), str(raised.value)))
    assert outcomes[0] == outcomes[1]


def test_an_array_without_one_of_its_chunks_is_refused(quick: Quick) -> None:
    _, objects = taken_apart(message(bytes(range(2 * CHUNK))))
    (array,) = (each for each in objects.values() if each.startswith(b"Array "))
    for switch in (quick.off, quick.on):
        switch()
        with pytest.raises(ValueError, match="Unexpected set of `children`"):
            Array.inflate(array, {})


def test_objects_are_made_when_their_turn_to_be_sent_comes(quick: Quick) -> None:
    quick.on()
    whole = message(np.random.default_rng(0).bytes(20 * CHUNK))
    _, objects = taken_apart(whole)
    ahead, pushed = 0, dict[str, bytes]()
    made: list[str] = []

    class Noting:
        def __init__(self, object_id: str) -> None:
            self._object_id = object_id

        def deflate(self) -> bytes:
            made.append(self._object_id)
            return objects[self._object_id]

    def push(object_id: str, content: bytes) -> None:
        nonlocal ahead
        pushed[object_id] = content
        ahead = max(ahead, len(made) - len(pushed))

    inflatable_utils.push_objects({key: Noting(key) for key in objects}, push)  # type: ignore[misc]
    assert pushed == objects
    assert ahead <= 3


def test_an_object_that_cannot_be_pushed_is_the_last(quick: Quick) -> None:
    for switch in (quick.off, quick.on):
        switch()
        begun: list[str] = []

        def push(object_id: str, _: bytes, begun: list[str] = begun) -> None:
            begun.append(object_id)
            if object_id == "3":
                raise inflatable_utils.ObjectPushError(object_id, 1, "session")

        contents = ((str(number), b"") for number in range(1000))
        with pytest.raises(inflatable_utils.ObjectPushError, match="'3'"):
            inflatable_utils.push_object_contents_from_iterable(contents, push)
    assert len(begun) < 10


ARRAYS = [
    np.arange(50_000.0),
    np.arange(50_000, dtype=">i4").reshape(100, 500),
    np.arange(60_000, dtype=np.float32).reshape(2, 30_000)[:, ::2],
    np.asfortranarray(np.arange(60_000, dtype=np.float32).reshape(200, 300)),
    np.ones((300, 300), np.bool_),
    np.zeros((0, 5)),
    np.ones(()),
    np.ones(20_000, np.clongdouble),
    np.array(["text"] * 20_000),
    np.arange(20_000).astype("M8[s]"),
    np.ones(20_000, [("a", "f4"), ("b", "i8")]),
    np.ones((300, 300)).view(np.matrix),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_an_array_is_written_as_numpy_writes_it(quick: Quick, array: Any) -> None:
    quick.off()
    theirs = Array(array)
    quick.on()
    assert Array(array) == theirs
    assert type(Array(array).data) is bytes
