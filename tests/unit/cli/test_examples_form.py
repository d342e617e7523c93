"""The form of the examples in the help of commands."""

from fedstate.cli.examples import examples, examples_in


def test_what_is_put_in_is_found_again() -> None:
    commands = ["fedstate state check --node 2", "fedstate state check --state state"]
    assert examples_in(examples(*commands)) == commands
    assert examples_in(None) == []
