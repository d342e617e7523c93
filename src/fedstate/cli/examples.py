"""The examples that the help of each command ends with.

They have one form, so that the tests find each of them and run it as it stands, in the directory
that ``tests/operators_directory.py`` makes.
"""

_HEADING = "Examples:"
_PROMPT = "$ "


def examples(*commands: str) -> str:
    """Return the end of a command's help, for ``@app.command(epilog=examples(...))``.

    Parameters
    ----------
    commands : str
        What somebody types, such as ``fedstate state list --node 2``.
    """
    return "\n\n".join([_HEADING, *(f"{_PROMPT}{command}" for command in commands)])


def examples_in(epilog: str | None) -> list[str]:
    """Return the examples in the end of a command's help."""
    lines = (epilog or "").split("\n")
    return [line.removeprefix(_PROMPT) for line in lines if line.startswith(_PROMPT)]
