"""The answer to a request for objects, taken apart without protobuf's copies of contents."""

from dataclasses import dataclass

from fedstate.exchange.messages import PullObjectsResponse
from fedstate.flower.messages import PullObjectResponse
from fedstate.flower.protobuf_call import parsed
from fedstate.large.wire import Buffer, split_field

CONTENT = PullObjectResponse.DESCRIPTOR.fields_by_name["object_content"].number
OBJECTS = PullObjectsResponse.DESCRIPTOR.fields_by_name["objects"].number


@dataclass(frozen=True)
class PulledObject:
    """One object of an answer, with the names that it has in flwr's `PullObjectResponse`.

    Attributes
    ----------
    object_found : bool
        Whether the server knows it.
    object_available : bool
        Whether its content has come.
    object_content : bytes
        The content.
    """

    object_found: bool = False
    object_available: bool = False
    object_content: bytes = b""


def pulled_objects(body: Buffer | bytearray) -> list[PulledObject]:
    """Return the objects of a `PullObjectsResponse`.

    Raises
    ------
    ValueError
        The bytes are no such message.
    """
    _, objects = split_field(body, OBJECTS)
    return [_pulled(each) for each in objects]


def _pulled(answer: memoryview) -> PulledObject:
    bare, contents = split_field(answer, CONTENT)
    state = parsed(PullObjectResponse, bare)
    content = bytes(contents[-1]) if contents else b""
    return PulledObject(state.object_found, state.object_available, content)
