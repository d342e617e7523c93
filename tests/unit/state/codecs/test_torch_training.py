"""Every optimizer and scheduler of PyTorch goes on as if it had never stopped.

A release of PyTorch that adds a class fails here until the class is listed or left out.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fedstate.state import StateFitError
from tests.unit.state.steps import digest_of, step
from tests.unit.state.torch_objects import bits, names, nn, optim, store, threads, torch

schedulers = optim.lr_scheduler


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "ASGD": {"t0": 1},
    "Adadelta": {},
    "Adafactor": {},
    "Adagrad": {"lr_decay": 0.1},
    "Adam": {"amsgrad": True},
    "AdamW": {},
    "Adamax": {},
    "LBFGS": {"max_iter": 3},
    "Muon": {"lr": 0.1},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Rprop": {},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "SparseAdam": {},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors: on a busy machine threads take longer to meet than to compute."""
    with threads(1):
        yield


def make_net(hidden: int = 3) -> Any:
    torch.manual_seed(3)
    # Without biases: Muon takes matrices only.
    return nn.Sequential(nn.Linear(4, hidden, bias=False), nn.Linear(hidden, 2, bias=False))


def make_optimizer(name: str, net: Any) -> Any:
    parameters = list(net.parameters())
    groups: Any = parameters if name == "LBFGS" else [{"params": [p]} for p in parameters]
    return getattr(optim, name)(groups, **OPTIMIZERS[name])


def take(net: Any, optimizer: Any, number: int) -> None:
    inputs = torch.linspace(-1, number, 12).reshape(3, 4)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = net(inputs).pow(2).sum()
        loss.backward()
        if isinstance(optimizer, optim.SparseAdam):
            for parameter in net.parameters():
                parameter.grad = parameter.grad.to_sparse()
        return loss

    if isinstance(optimizer, optim.LBFGS):
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()


def test_every_optimizer_is_listed() -> None:
    assert names(optim) == {*OPTIMIZERS, "Optimizer"}


@pytest.mark.parametrize("as_value", [False, True], ids=["state_dict", "optimizer"])
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_to_the_bit(name: str, steps: int, as_value: bool) -> None:
    net, other = make_net(), make_net()
    optimizer, fresh = make_optimizer(name, net), make_optimizer(name, other)
    for number in range(steps):
        take(net, optimizer, number)
    context = store(net=net, o=optimizer if as_value else optimizer.state_dict())
    with step(context) as state:
        state.load("net", into=other)
        state.load("o", into=fresh)
    assert bits(fresh.state_dict()) == bits(optimizer.state_dict())
    assert digest_of(fresh) == digest_of(optimizer)
    for number in range(2):
        take(net, optimizer, number)
        take(other, fresh, number)
    assert bits(other.state_dict()) == bits(net.state_dict())
    assert bits(fresh.state_dict()) == bits(optimizer.state_dict())


def snapshot(optimizer: Any) -> Any:
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    return bits(groups), bits(list(optimizer.state.values()))


@pytest.mark.parametrize("as_value", [False, True], ids=["state_dict", "optimizer"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_of_another_kind_is_refused(name: str, as_value: bool) -> None:
    net = make_net()
    optimizer = make_optimizer(name, net)
    take(net, optimizer, 1)
    with step(store(o=optimizer if as_value else optimizer.state_dict())) as state:
        for into in OPTIMIZERS:
            if name == into or ((name, into) == ("AdamW", "Adam") and not as_value):
                continue  # Adam(decoupled_weight_decay=True) is what AdamW is
            other = make_net()
            target = make_optimizer(into, other)
            take(other, target, 2)
            before = snapshot(target)
            with pytest.raises(StateFitError, match=r"^State value 'o': "):
                state.load("o", into=target)
            assert snapshot(target) == before, into


@pytest.mark.parametrize("as_value", [False, True], ids=["state_dict", "optimizer"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("hidden", [1, 5])
def test_moments_of_other_shapes_are_refused(name: str, hidden: int, as_value: bool) -> None:
    net, other = make_net(), make_net(hidden)
    optimizer = make_optimizer(name, net)
    for number in range(3):
        take(net, optimizer, number)
    target = make_optimizer(name, other)
    before = snapshot(target)
    with step(store(o=optimizer if as_value else optimizer.state_dict())) as state:
        has_shapes = any(t.dim() for s in optimizer.state.values() for t in moments(s))
        if not as_value and not has_shapes:
            state.load("o", into=target)  # nothing in it has a shape
            return
        with pytest.raises(StateFitError, match="has shape"):
            state.load("o", into=target)
    assert snapshot(target) == before


def moments(state: dict[str, Any]) -> list[Any]:
    return [value for value in state.values() if isinstance(value, torch.Tensor)]


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "ChainedScheduler": lambda o: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(o, total_iters=3), schedulers.ExponentialLR(o, 0.9)]
    ),
    "ConstantLR": lambda o: schedulers.ConstantLR(o, 0.5, 3),
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3, 2),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, 3),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.9),
    "LambdaLR": lambda o: schedulers.LambdaLR(o, lambda epoch: 0.9**epoch),
    "LinearLR": lambda o: schedulers.LinearLR(o, 0.5, total_iters=4),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [2, 4, 4]),
    "MultiplicativeLR": lambda o: schedulers.MultiplicativeLR(o, lambda _: 0.95),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.1, 20),
    "PolynomialLR": lambda o: schedulers.PolynomialLR(o, 6),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, patience=1),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o, [schedulers.ConstantLR(o), schedulers.ExponentialLR(o, 0.9)], [2]
    ),
    "StepLR": lambda o: schedulers.StepLR(o, 2),
}


def advance(scheduler: Any, optimizer: Any) -> list[float]:
    optimizer.step()
    scheduler.step(*([1.0] if isinstance(scheduler, schedulers.ReduceLROnPlateau) else []))
    return [group["lr"] for group in optimizer.param_groups]


def scheduled(name: str) -> tuple[Any, Any]:
    optimizer = make_optimizer("SGD", make_net())
    return SCHEDULERS[name](optimizer), optimizer


def test_every_scheduler_is_listed() -> None:
    found = {
        name
        for name, value in vars(schedulers).items()
        if isinstance(value, type) and issubclass(value, schedulers.LRScheduler)
    }
    assert found == {*SCHEDULERS, "LRScheduler", "_LRScheduler"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("as_value", [False, True], ids=["state_dict", "scheduler"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_goes_on_to_the_bit(name: str, as_value: bool) -> None:
    scheduler, optimizer = scheduled(name)
    for _ in range(3):
        advance(scheduler, optimizer)
    fresh, other = scheduled(name)
    value = scheduler if as_value else scheduler.state_dict()
    with step(store(s=value, o=optimizer)) as state:
        state.load("o", into=other)
        state.load("s", into=fresh)
    assert fresh.state_dict() == scheduler.state_dict()
    assert digest_of(fresh) == digest_of(scheduler)
    for _ in range(5):
        assert advance(fresh, other) == advance(scheduler, optimizer)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("as_value", [False, True], ids=["state_dict", "scheduler"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_of_another_kind_is_refused(name: str, as_value: bool) -> None:
    scheduler, _ = scheduled(name)
    keys = scheduler.state_dict().keys()
    with step(store(s=scheduler if as_value else scheduler.state_dict())) as state:
        for into in SCHEDULERS:
            target, _ = scheduled(into)
            before = copy.deepcopy(target.state_dict())
            if name == into or (not as_value and before.keys() == keys):
                continue
            with pytest.raises(StateFitError, match=r"^State value 's': "):
                state.load("s", into=target)
            assert target.state_dict() == before, into
