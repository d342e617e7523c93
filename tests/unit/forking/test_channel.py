import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.forking.channel import Channel

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = Channel.pair()
    with closing(ours), closing(Channel(theirs)) as others:
        yield ours, others


def test_messages_arrive_in_order(pair: Pair) -> None:
    ours, theirs = pair
    for number in range(3):
        assert ours.send({"number": number})
    assert [message["number"] for message in theirs.receive()] == [0, 1, 2]


def test_a_message_in_two_pieces_is_put_together(pair: Pair) -> None:
    ours, theirs = pair
    ours.socket.sendall(b'{"text": "fi')
    assert list(theirs.receive()) == []
    ours.socket.sendall(b'rst"}\n')
    assert list(theirs.receive()) == [{"text": "first"}]


def test_each_descriptor_arrives_with_its_message(pair: Pair) -> None:
    ours, theirs = pair
    names = ["/dev/null", "/dev/zero"]
    for name in names:
        descriptor = os.open(name, os.O_RDONLY)
        ours.send({"name": name}, descriptor=descriptor)
        os.close(descriptor)
    for name in names:
        ((message, (descriptor,)),) = theirs.receive_with_descriptors()
        assert message == {"name": name}
        assert str(Path(f"/proc/self/fd/{descriptor}").readlink()) == name
        os.close(descriptor)


def test_descriptors_that_nobody_wants_are_not_kept(pair: Pair) -> None:
    """Who sends them may be an app: they would soon be all that the executor may have."""
    ours, theirs = pair
    own = os.open("/dev/null", os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for piece in (b'{"text"', b': "much"', b"}\n"):
        socket.send_fds(ours.socket, [piece], [own] * 50)
    received = [message for _ in range(3) for message in theirs.receive()]
    assert received == [{"text": "much"}]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    os.close(own)


def test_the_end_is_noticed_on_both_sides(pair: Pair) -> None:
    ours, theirs = pair
    ours.close()
    assert list(theirs.receive()) == []
    assert theirs.ended
    assert not theirs.send({"text": "to nobody"})


def test_nothing_to_read_is_not_the_end(pair: Pair) -> None:
    _ours, theirs = pair
    theirs.socket.setblocking(False)
    assert list(theirs.receive()) == []
    assert not theirs.ended
