"""PyTorch modules and their ``state_dict``s."""

import pytest

from tests.unit.state.steps import step
from tests.unit.state.torch_objects import Counting, make_net, same, store, torch


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_a_module_goes_into_another(as_dictionary: bool) -> None:
    net, other = make_net(), make_net()
    with step(store(net=net.state_dict() if as_dictionary else net)) as state:
        assert same(state["net"], net.state_dict())
        state.load("net", into=other)
    assert same(other.state_dict(), net.state_dict())


def test_a_part_of_a_module_is_a_module() -> None:
    net, other = make_net(), make_net()
    with step(store(head=net[2])) as state:
        state.load("head", into=other[2])
    assert same(other[2].state_dict(), net[2].state_dict())
    assert not same(other[0].state_dict(), net[0].state_dict())


def test_extra_state_is_kept() -> None:
    net, other = Counting(3), Counting(4)
    with step(store(net=net, deep={"net": [net]})) as state:
        state.load("net", into=other)
        assert other.counts["n"] == 3
        assert state["net"]["_extra_state"] == net.get_extra_state()
        assert state["deep"]["net"][0]["_extra_state"] == net.get_extra_state()
    assert torch.equal(other.linear.weight, net.linear.weight)
