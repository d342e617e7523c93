"""Whose turn it is: the steps of one run series follow each other, those of others do not wait.

Not safe to use from several threads: `steps.py` holds its lock.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Turns(Generic[Item]):
    """Gives turns to what waits in several series.

    Of each series one item at a time has a turn, in the order in which they were added. Of all
    series together no more than `concurrency` have one; series take turns, so that none waits
    for another to be empty.

    Parameters
    ----------
    concurrency : int
        How many turns may be under way at once.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        # The series that was served longest ago comes first.
        self._waiting: OrderedDict[int, deque[Item]] = OrderedDict()
        self._active: dict[int, Item] = {}
        self._skipping: set[Item] = set()

    def wait(self, series_id: int, item: Item, *, first: bool = False) -> None:
        """Let an item wait for its turn, behind the others of its series or before them."""
        queue = self._waiting.setdefault(series_id, deque())
        if first:
            queue.appendleft(item)
        else:
            queue.append(item)

    def give(self) -> list[Item]:
        """Give all turns that can be given, and return who has one now."""
        given = []
        for series_id in list(self._waiting):
            if len(self._active) >= self._concurrency:
                break
            if series_id in self._active:
                continue
            queue = self._waiting[series_id]
            item = queue.popleft()
            if queue:
                self._waiting.move_to_end(series_id)
            else:
                del self._waiting[series_id]
            self._active[series_id] = item
            given.append(item)
        return given

    def skip(self, series_id: int, item: Item) -> bool:
        """Let an item that waits go on without a turn; return False if it does not wait."""
        queue = self._waiting.get(series_id, deque())
        if item not in queue:
            return False
        queue.remove(item)
        if not queue:
            del self._waiting[series_id]
        self._skipping.add(item)
        return True

    def end(self, series_id: int, item: Item) -> None:
        """End a turn, or what went on without one."""
        if item in self._skipping:
            self._skipping.remove(item)
            return
        if self._active.get(series_id) is not item:
            raise ValueError(f"This item does not have the turn of series {series_id}.")
        del self._active[series_id]

    def close(self) -> None:
        """Give no turn any more."""
        self._concurrency = 0
