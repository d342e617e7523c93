"""What refuses a stored value is as it was before, to the bit."""

import copy
from typing import Any

import pytest

from fedstate.state import StateFitError
from tests.unit.state.steps import step
from tests.unit.state.torch_objects import Counting, make_net, store, torch


def test_a_module_that_refuses_at_the_end_is_as_it_was() -> None:
    net, other = (
        torch.nn.Sequential(Counting(3), Counting(5)),
        torch.nn.Sequential(Counting(4), Counting(6)),
    )
    other[1].refuses = True
    before = {name: copy.deepcopy(item) for name, item in other.state_dict().items()}
    parameters = [id(p) for p in other.parameters()]
    with (
        step(store(net=net)) as state,
        pytest.raises(StateFitError, match="Sequential does not take it: It is refused"),
    ):
        state.load("net", into=other)
    after = other.state_dict()
    assert [other[0].counts["n"], other[1].counts["n"]] == [4, 6]
    assert all(torch.equal(after[n], v) for n, v in before.items() if isinstance(v, torch.Tensor))
    assert [id(p) for p in other.parameters()] == parameters


def test_a_lazy_module_that_refuses_is_lazy_again() -> None:
    net = torch.nn.Sequential(torch.nn.LazyLinear(3), Counting(3))
    net[0](torch.ones(1, 4))
    other = torch.nn.Sequential(torch.nn.LazyLinear(3), Counting(4))
    other[1].refuses = True
    with step(store(net=net)) as state:
        with pytest.raises(StateFitError, match="does not take it"):
            state.load("net", into=other)
        assert other[0].has_uninitialized_params()
        other[1].refuses = False
        state.load("net", into=other)
    assert torch.equal(other[0](torch.ones(1, 4)), net[0](torch.ones(1, 4)))


def test_an_optimizer_and_a_scheduler_that_refuse_are_as_they_were() -> None:
    def refuse(optimizer: Any) -> None:
        raise KeyError("refused")

    def make(rate: float) -> tuple[Any, Any]:
        optimizer = torch.optim.Adam(make_net().parameters(), lr=rate)
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        return optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4], rate)

    (optimizer, schedule), (other, other_schedule) = make(0.1), make(0.2)
    other.register_load_state_dict_post_hook(refuse)
    before = copy.deepcopy([other.state_dict(), other_schedule.state_dict()])
    held = [id(group) for group in other.param_groups]
    with step(store(optimizer=optimizer, schedule=schedule)) as state:
        with pytest.raises(StateFitError, match="Adam does not take it: 'refused'"):
            state.load("optimizer", into=other)
        state["broken"] = {**schedule.state_dict(), "base_lrs": 3}
        with pytest.raises(StateFitError, match="its 'base_lrs' is a int"):
            state.load("broken", into=other_schedule)
    assert repr([other.state_dict(), other_schedule.state_dict()]) == repr(before)
    assert [id(group) for group in other.param_groups] == held


def test_whatever_has_load_state_dict_takes_a_value_or_is_as_it_was() -> None:
    class Sampler:
        def __init__(self) -> None:
            self.order = [1, 2]

        def load_state_dict(self, state: Any) -> None:
            self.order.append(state["at"])
            self.order.append(state["end"])

    sampler = Sampler()
    with step(store(good={"at": 3, "end": 4}, bad={"at": 3})) as state:
        with pytest.raises(StateFitError, match="Sampler does not take it: 'end'"):
            state.load("bad", into=sampler)
        assert sampler.order == [1, 2]
        state.load("good", into=sampler)
    assert sampler.order == [1, 2, 3, 4]
