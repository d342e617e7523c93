"""The answer to a request for objects, taken apart while it arrives.

Protobuf would have all of it in memory twice. Here each content is put together as it comes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fedstate.exchange.messages import PullObjectsResponse
from fedstate.flower.messages import PullObjectResponse
from fedstate.flower.protobuf_call import parsed
from fedstate.objects.memory import MemoryArrival
from fedstate.objects.splitting import Splitter

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


def pulled_objects(parts: Iterable[bytes]) -> list[PulledObject]:
    """Return the objects of a `PullObjectsResponse`.

    Parameters
    ----------
    parts : iterable of bytes
        The message, in parts of any size.

    Raises
    ------
    ValueError
        The bytes are no such message.
    """
    answer = Splitter(OBJECTS, at_least=0)
    objects: list[_Arriving] = []
    for part in parts:
        for each in answer.feed(part):
            if isinstance(each, int):
                objects.append(_Arriving())
            else:
                objects[-1].take(each)
    parsed(PullObjectsResponse, answer.rest())
    return [each.pulled() for each in objects]


class _Arriving:
    """One object of an answer, of which parts come."""

    def __init__(self) -> None:
        self._splitter = Splitter(CONTENT, at_least=0)
        self._content = MemoryArrival()

    def take(self, part: memoryview) -> None:
        """Take the next part."""
        self._content.take(self._splitter.feed(part))

    def pulled(self) -> PulledObject:
        """Return the object, of which all has come."""
        state = parsed(PullObjectResponse, self._splitter.rest())
        content = self._content.arrived[-1] if self._content.arrived else b""
        return PulledObject(state.object_found, state.object_available, content)
