"""Replies that were made while the clock of their machine was wrong.

A reply has the time at which it was made, and lives for what is left of its message's life. By a
clock that is hours ahead nothing is left, and a SuperLink drops such a reply without a word: the
ServerApp would wait for it until the message has expired.
"""

from flwr.app import Message

_HOUR = 3600.0


def keep_alive(reply: Message) -> None:
    """Give a reply that has expired at birth a time of its message's life; its end stays.

    Parameters
    ----------
    reply : Message
        A reply whose ID has not been taken yet: the time is a part of what it is made of.
    """
    metadata = reply.metadata
    if metadata.ttl <= 0:
        # Whether the message has really expired is for the SuperLink's clock to say.
        metadata.created_at = metadata.created_at + metadata.ttl - _HOUR
        metadata.ttl = _HOUR
