"""How large a Context is when Flower sends it, from above, without making the message."""

from collections.abc import Iterable, Mapping

from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord

from fedstate.limits import CONTEXT_BYTES
from fedstate.state.errors import StateTypeError

# What protobuf puts around a value at most: the keys and lengths of the messages that it is in.
_AROUND_BYTES = 64
_NUMBER_BYTES = 10


def check_size(context: Context) -> None:
    """Refuse a Context that could not be sent to the SuperNode.

    Raises
    ------
    StateTypeError
        It is too large; the message has its size.
    """
    size = size_bound(context)
    if size > CONTEXT_BYTES:
        raise StateTypeError(
            f"The client state takes {size} bytes, and a Context of at most {CONTEXT_BYTES} can "
            "be sent to the SuperNode, as one protobuf message of less than 2 GiB; store less."
        )


def size_bound(context: Context) -> int:
    """Return a number of bytes that the Context as a message does not exceed.

    It is above the size by less than 150 bytes for each value, array and config entry.
    """
    size = _AROUND_BYTES
    for name, record in context.state.items():
        size += _AROUND_BYTES + _text(name)
        if isinstance(record, ArrayRecord):
            size += sum(
                _AROUND_BYTES
                + _text(key)
                + len(array.data)
                + _text(array.dtype)
                + _text(array.stype)
                + _NUMBER_BYTES * len(array.shape)
                for key, array in record.items()
            )
        elif isinstance(record, MetricRecord | ConfigRecord):
            size += _of_items(record)
    return size + _of_items(context.run_config) + _of_items(context.node_config)


def _of_items(items: Mapping[str, object]) -> int:
    return sum(_AROUND_BYTES + _text(key) + _of_value(value) for key, value in items.items())


def _of_value(value: object) -> int:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Iterable):
        return sum(_NUMBER_BYTES + _of_value(item) for item in value)
    return _NUMBER_BYTES


def _text(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
