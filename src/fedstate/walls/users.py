"""Users for runs: numbers that nobody on this machine has."""

import os
import random
from collections.abc import Collection
from pathlib import Path

from fedstate.walls.processes import all_processes, user_of

# Above what distributions, containers and systemd hand out, below what some programs take for
# negative numbers.
FIRST, LAST = 1_880_000_000, 2_110_000_000


def free_user(rooms: Path, taken: Collection[int] = ()) -> int:
    """Return a user of which there is no process, and no run's directory here.

    Parameters
    ----------
    rooms : Path
        Where the runs' directories are.
    taken : collection of int
        Users that were returned before.
    """
    used = {*taken, *owners(rooms).values()}
    used |= {user_of(pid) or 0 for pid in all_processes()}
    choose = random.SystemRandom()
    while (user := choose.randint(FIRST, LAST)) in used:
        pass
    return user


def owners(rooms: Path) -> dict[Path, int]:
    """Return the runs' directories that there are, and whose each is."""
    with os.scandir(rooms) as entries:
        return {
            Path(entry.path): entry.stat(follow_symlinks=False).st_uid
            for entry in entries
            if entry.is_dir(follow_symlinks=False)
        }
