"""How many values one statement of SQLite's may have."""

import itertools
from collections.abc import Iterable, Iterator

# SQLite's own bound is 32,766 parameters, unless it was built with another.
_MOST_IN_A_STATEMENT = 10_000


def in_batches(ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield as many IDs at a time as one statement may have parameters."""
    rest = iter(ids)
    while batch := tuple(itertools.islice(rest, _MOST_IN_A_STATEMENT)):
        yield batch
