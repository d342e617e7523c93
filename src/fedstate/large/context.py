"""A Context apart from its larger arrays, so that it is sent and stored without copies."""

from collections.abc import Iterator
from dataclasses import dataclass

from flwr.app import Array, ArrayRecord, Context, RecordDict

from fedstate.flower.contexts import context_to_bytes
from fedstate.large.wire import LARGE_ARRAY_BYTES, Buffer, LargeArrays


@dataclass(frozen=True)
class SplitContext:
    """A Context apart from its larger arrays.

    Attributes
    ----------
    context : Context
        The Context; the data of its larger arrays is empty.
    arrays : LargeArrays
        Their bytes.
    """

    context: Context
    arrays: LargeArrays

    @staticmethod
    def split(context: Context) -> "SplitContext":
        """Split a Context; its data is not copied, and it is not changed."""
        large, contents = bytearray(), list[Buffer]()
        state = RecordDict()
        for name, record in context.state.items():
            if not isinstance(record, ArrayRecord):
                state[name] = record
                continue
            arrays = {}
            for key, array in record.items():
                is_large = len(array.data) >= LARGE_ARRAY_BYTES
                large.append(is_large)
                if is_large:
                    contents.append(array.data)
                data = b"" if is_large else array.data
                arrays[key] = Array(array.dtype, array.shape, array.stype, data)
            state[name] = ArrayRecord(arrays)
        bare = Context(
            context.run_id,
            context.node_id,
            context.node_config,
            state,
            context.run_config,
            context.series_id,
        )
        return SplitContext(bare, LargeArrays(bytes(large), contents))

    def check(self) -> None:
        """Raise ValueError if the Context and the larger arrays do not belong together."""
        count = sum(1 for _ in _arrays(self.context))
        if count != len(self.arrays.is_large) or sum(self.arrays.is_large) != len(
            self.arrays.contents
        ):
            raise ValueError(f"the Context has {count} arrays, not {len(self.arrays.is_large)}")

    def join(self) -> Context:
        """Return the whole Context, as a ClientApp knows it."""
        bare = self.context
        state = RecordDict()
        large, contents = iter(self.arrays.is_large), iter(self.arrays.contents)
        for name, record in bare.state.items():
            if isinstance(record, ArrayRecord):
                record = ArrayRecord(
                    {
                        key: Array(
                            array.dtype,
                            array.shape,
                            array.stype,
                            bytes(next(contents)) if next(large) else array.data,
                        )
                        for key, array in record.items()
                    }
                )
            state[name] = record
        return Context(
            bare.run_id,
            bare.node_id,
            bare.node_config,
            state,
            bare.run_config,
            bare.series_id,
        )

    def to_bytes(self) -> bytes:
        """Return the Context without its larger arrays as bytes."""
        return context_to_bytes(self.context)


def _arrays(context: Context) -> Iterator[Array]:
    for record in context.state.values():
        if isinstance(record, ArrayRecord):
            yield from record.values()
