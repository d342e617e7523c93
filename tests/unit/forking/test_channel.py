import os
from pathlib import Path

from fedstate.forking.channel import Channel


def pair() -> tuple[Channel, Channel]:
    ours, theirs = Channel.pair()
    return ours, Channel(theirs)


def test_messages_arrive_in_order() -> None:
    ours, theirs = pair()
    for number in range(3):
        assert ours.send({"number": number})
    assert [message["number"] for message in theirs.receive()] == [0, 1, 2]


def test_a_message_in_two_pieces_is_put_together() -> None:
    ours, theirs = pair()
    ours.socket.sendall(b'{"text": "fi')
    assert list(theirs.receive()) == []
    ours.socket.sendall(b'rst"}\n')
    assert list(theirs.receive()) == [{"text": "first"}]


def test_each_descriptor_arrives_with_its_message() -> None:
    ours, theirs = pair()
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


def test_the_end_is_noticed_on_both_sides() -> None:
    ours, theirs = pair()
    ours.close()
    assert list(theirs.receive()) == []
    assert theirs.ended
    assert not theirs.send({"text": "to nobody"})


def test_nothing_to_read_is_not_the_end() -> None:
    _ours, theirs = pair()
    theirs.socket.setblocking(False)
    assert list(theirs.receive()) == []
    assert not theirs.ended
