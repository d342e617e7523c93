"""Pushing the objects of a message in batches."""

from collections.abc import Callable, Iterable, Mapping

# What flwr's functions raise of an object that was not stored.
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

from fedstate.exchange.client import Pieces, batches


def push_batches(
    push: Callable[[Mapping[str, Pieces]], list[bool] | None],
    run_id: int,
    session_id: str,
    objects: Iterable[tuple[str, Pieces]],
) -> set[str]:
    """Push objects in batches, each object made when its turn comes.

    Parameters
    ----------
    push : callable
        Pushes a batch; returns for each object whether it was stored, or None if the server does
        not take batches.
    run_id, session_id
        What an error names.
    objects : iterable of tuple
        The ID of each object, and its content in pieces.

    Returns
    -------
    set of str
        The IDs of the objects that were pushed: all but those too large for a batch.

    Raises
    ------
    ObjectPushError
        One was not stored.
    """
    pushed: set[str] = set()
    for batch in batches(objects):
        stored = push(batch)
        if stored is None:
            break
        for key, was_stored in zip(batch, stored, strict=True):
            if not was_stored:
                raise ObjectPushError(key, run_id, session_id)
        pushed |= batch.keys()
    return pushed
