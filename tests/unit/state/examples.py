"""How many examples a generated test tries: some in each run, many in ``make test-long``."""

import os


def examples(some: int, many: int) -> int:
    """Return `many` where the environment variable ``FEDSTATE_SLOW`` is set."""
    return many if os.environ.get("FEDSTATE_SLOW") else some
