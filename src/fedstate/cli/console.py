"""Where commands print their tables."""

from rich.console import Console

# Wider than any line of ours.
_NO_WINDOW = 10_000


def console(*, stderr: bool = False) -> Console:
    """Return a console that cuts and wraps nothing without a window: in a pipe or a file."""
    made = Console(stderr=stderr)
    if not made.is_terminal:
        made.width = _NO_WINDOW
    return made
