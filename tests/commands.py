"""Running ``fedstate`` in this process, as the command line does."""

from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from fedstate.cli import app


def fedstate(*arguments: str | Path) -> Result:
    """Run a command to its end; an exception that a user would see as a traceback is raised."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], prog_name="fedstate")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
