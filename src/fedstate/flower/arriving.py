"""Taking in a message whose larger arrays are to wait in a file, and not in memory."""

from collections.abc import Callable
from typing import Any, cast

from flwr.app import Array, ArrayRecord, Message

# A message is a tree of objects, each with the IDs of its children in its head.
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import (
    inflate_object_from_contents,
    pull_objects,
)

from fedstate.flower.array_objects import (
    array_ids,
    array_parts,
    body_of,
    is_chunk,
    record_of,
)
from fedstate.flower.pull_backoff import FIRST_WAIT_SECONDS
from fedstate.large.spool import ArrayOfPieces, Piece, Spool, Spooled
from fedstate.large.wire import LARGE_ARRAY_BYTES

# So much of each message stays in memory: to put it into a file costs more than it saves.
KEPT_BYTES = 4 * 1024 * 1024


def take_in(
    tree: ObjectTree,
    pull: Callable[[str], bytes],
    spooled: dict[str, Spooled] | None = None,
    let_go: Callable[[str], None] | None = None,
) -> Message:
    """Pull the objects of a message, and return the message.

    Parameters
    ----------
    tree : ObjectTree
        The message's objects.
    pull : callable
        Returns the content of one of them.
    spooled : dict of str to Spooled, optional
        Where contents wait that came with other messages; those of this one are added. One that
        is there is not pulled again.
    let_go : callable, optional
        Is told of each object of which the content waits there now.

    Raises
    ------
    ObjectPullError
        One cannot be had.
    """
    arriving = _Arriving(pull, {} if spooled is None else spooled, let_go)
    ids = list(dict.fromkeys(node.object_id for node in iterate_object_tree(tree)))
    contents = pull_objects(ids, arriving.pull, initial_backoff=FIRST_WAIT_SECONDS)
    arriving.put_together(tree, contents)
    message = inflate_object_from_contents(tree.object_id, contents, objects=arriving.objects)
    return cast("Message", message)


class _Arriving:
    """The objects of one message; those whose bytes wait in the spool are put together here."""

    def __init__(
        self,
        pull: Callable[[str], bytes],
        spooled: dict[str, Spooled],
        let_go: Callable[[str], None] | None,
    ) -> None:
        self.objects: dict[str, Any] = {}
        self._pull = pull
        self._let_go = let_go
        self._spool = Spool()
        self._kept_bytes = 0
        self._spooled = spooled

    def pull(self, object_id: str) -> bytes:
        """Return the content of an object, or nothing of one that is in the spool now."""
        if object_id in self._spooled:
            return b""
        content = self._pull(object_id)
        if len(content) < LARGE_ARRAY_BYTES or not is_chunk(content):
            return content
        # Two threads may both find room here: what is kept is a bound of no great precision.
        if self._kept_bytes + len(content) <= KEPT_BYTES:
            self._kept_bytes += len(content)
            return content
        spooled = self._spool.put(body_of(content))
        if spooled is None:
            return content
        self._spooled[object_id] = spooled
        if self._let_go is not None:
            self._let_go(object_id)
        return b""

    def put_together(self, tree: ObjectTree, contents: dict[str, bytes]) -> None:
        """Make the arrays that are in the spool, and the records that have them."""
        for node in iterate_object_tree(tree):
            if node.object_id in self.objects or node.object_id not in contents:
                continue
            content = contents[node.object_id]
            children = {child.object_id for child in node.children}
            if children & self._spooled.keys():
                self.objects[node.object_id] = self._array(content, contents)
            elif any(isinstance(self.objects.get(child), ArrayOfPieces) for child in children):
                self.objects[node.object_id] = self._record(content, contents)

    def _array(self, content: bytes, contents: dict[str, bytes]) -> Array:
        said, chunk_ids = array_parts(content)
        pieces: list[Piece] = [
            self._spooled[each] if each in self._spooled else body_of(contents[each])
            for each in chunk_ids
        ]
        return ArrayOfPieces(said["dtype"], tuple(said["shape"]), said["stype"], pieces)

    def _record(self, content: bytes, contents: dict[str, bytes]) -> ArrayRecord:
        """Return the record; flwr would read each array for it."""
        arrays: dict[str, Any] = {
            object_id: inflate_object_from_contents(
                object_id, contents, keep_object_contents=True, objects=self.objects
            )
            for object_id in array_ids(content).values()
        }
        return record_of(content, arrays)
