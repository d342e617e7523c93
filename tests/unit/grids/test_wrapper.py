"""Every call of a Grid's goes through a wrapper to the Grid inside, and its answer comes back."""

import inspect
from typing import Any

import pytest
from flwr.app import RecordDict
from flwr.serverapp import Grid

from fedstate.grids import GridWrapper

MESSAGES = [object(), object()]  # a wrapper looks into none
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "set_run": (("the run",), {}),
    "create_message": ((RecordDict(), "train", 1, "a group", 5.0), {}),
    "get_node_ids": ((), {}),
    "get_nodes": ((), {}),
    "push_messages": ((MESSAGES,), {}),
    "pull_messages": ((["an ID"],), {}),
    "send_and_receive": ((MESSAGES,), {"timeout": 3.0}),
}
PUBLIC = {name for name, _ in inspect.getmembers(Grid) if not name.startswith("_")}


def noting(name: str) -> Any:
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        self.calls.append((name, arguments, options))
        return self.calls

    return call


class Inner(GridWrapper):
    """Notes its calls, and answers with the list of them."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    run = property(lambda self: (self.calls, "run"))


for _name in CALLS:
    setattr(Inner, _name, noting(_name))


def test_these_are_all_calls_of_flwrs_grid() -> None:
    assert {*CALLS, "run"} == PUBLIC


@pytest.mark.parametrize("name", CALLS)
def test_a_call_arrives_as_it_was_made_and_its_answer_returns(name: str) -> None:
    inner = Inner()
    arguments, options = CALLS[name]
    answer = getattr(GridWrapper(GridWrapper(inner)), name)(*arguments, **options)
    assert inner.calls == [(name, arguments, options)]
    assert answer is (None if name == "set_run" else inner.calls)


def test_the_run_is_that_of_the_grid_inside() -> None:
    inner = Inner()
    assert GridWrapper(inner).run == (inner.calls, "run")


def test_the_innermost_grid_is_no_wrapper() -> None:
    class Given(Inner):
        @property
        def innermost(self) -> Grid:
            return self

    given = Given()
    assert GridWrapper(GridWrapper(given)).innermost is given
