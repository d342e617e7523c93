"""PyTorch modules, state dictionaries and optimizers."""

from typing import Any

import pytest
from flwr.app import Context

from fedstate.state import StateFitError, StateTypeError
from tests.unit.state.steps import digest_of, make_context, sent, step, stored_and_read

torch = pytest.importorskip("torch", reason="PyTorch is optional: pip install torch")


def make_net(features: int = 4) -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Linear(5, features), nn.BatchNorm1d(features), nn.Linear(features, 2))


def remember(**values: Any) -> Context:
    context = make_context()
    with step(context) as state:
        state.update(values)
    return sent(context)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_a_module_goes_into_another(as_dictionary: bool) -> None:
    net, other = make_net(), make_net()
    with step(remember(net=net.state_dict() if as_dictionary else net)) as state:
        assert same(state["net"], net.state_dict())
        state.load("net", into=other)
    assert same(other.state_dict(), net.state_dict())


def test_a_part_of_a_module_is_a_module() -> None:
    net, other = make_net(), make_net()
    with step(remember(head=net[2])) as state:
        state.load("head", into=other[2])
    assert same(other[2].state_dict(), net[2].state_dict())
    assert not same(other[0].state_dict(), net[0].state_dict())


@pytest.mark.parametrize(
    "dtype",
    [
        "bfloat16",
        "float16",
        "float32",
        "float64",
        "float8_e4m3fn",
        "complex64",
        "int8",
        "int64",
        "uint8",
        "bool",
    ],
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_every_dtype_and_shape_comes_back(dtype: str, shape: tuple[int, ...]) -> None:
    tensor = torch.arange(6)[: max(1, len(shape) * 3)].float().repeat(2)[:6]
    tensor = (tensor[:6].reshape(2, 3) if shape == (2, 3) else torch.zeros(shape)).to(
        getattr(torch, dtype)
    )
    back = stored_and_read({"t": tensor})["t"]
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(back.to(torch.complex64), tensor.to(torch.complex64))
    assert digest_of({"t": tensor}) == digest_of({"t": back})


def test_views_are_stored_as_what_they_show() -> None:
    matrix = torch.arange(6.0).reshape(2, 3)
    conjugate = torch.tensor([1 + 2j]).conj()
    back = stored_and_read({"t": matrix.T[::2], "c": conjugate, "p": torch.nn.Parameter(matrix)})
    assert torch.equal(back["t"], matrix.T[::2])
    assert torch.equal(back["c"], conjugate)
    assert torch.equal(back["p"], matrix)


def test_tensors_may_stand_in_nested_values_and_be_changed() -> None:
    context = remember(nested={"step": 3, "moments": [torch.ones(2), torch.zeros(())]})
    with step(context) as state:
        state["nested"]["moments"][0] += 1
    with step(sent(context)) as state:
        assert state["nested"]["moments"][0].tolist() == [2, 2]
        assert state["nested"]["step"] == 3


def test_an_optimizer_goes_on_where_it_stopped() -> None:
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(3, 5)).sum().backward()
    optimizer.step()
    other = torch.optim.Adam(make_net().parameters())
    with step(remember(optimizer=optimizer.state_dict())) as state:
        state.load("optimizer", into=other)
        with pytest.raises(StateFitError, match="group 0 has 6 parameters as stored, and 1"):
            state.load("optimizer", into=torch.optim.Adam([torch.nn.Parameter(torch.ones(1))]))
    mine, theirs = optimizer.state_dict()["state"], other.state_dict()["state"]
    assert mine.keys() == theirs.keys()
    for key in mine:
        assert mine[key].keys() == theirs[key].keys()
        assert all(torch.equal(mine[key][name], theirs[key][name]) for name in mine[key])


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (lambda: make_net(3), r"'0.weight' has shape \(3, 5\) in the module, and \(4, 5\) as"),
        (lambda: make_net().double(), "'0.weight' has dtype torch.float64 in the module"),
        (
            lambda: make_net()[:2],
            r"'2.weight' of shape \(2, 4\) is stored, and the module has no",
        ),
        (
            lambda: torch.nn.Sequential(*make_net(), torch.nn.Linear(2, 1)),
            r"'3.weight' of shape \(1, 2\) in the module is not stored",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(other: Any, sentence: str) -> None:
    target = other()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with (
        step(remember(net=make_net())) as state,
        pytest.raises(StateFitError, match=f"^State value 'net': {sentence}"),
    ):
        state.load("net", into=target)
    assert same(target.state_dict(), before)


def test_what_cannot_be_stored_is_named() -> None:
    with pytest.raises(StateTypeError, match=r"layout torch._mkldnn, which cannot be stored"):
        stored_and_read({"t": torch.eye(2).to_mkldnn()})

    class Special(torch.Tensor):  # type: ignore[misc, name-defined]
        pass

    with pytest.raises(StateTypeError, match=r"t is a .*Special, a kind of tensor that may hold"):
        stored_and_read({"t": torch.eye(2).as_subclass(Special)})
    with (
        step(remember(net=make_net())) as state,
        pytest.raises(StateFitError, match=r"'torch.state_dict', which cannot be loaded"),
    ):
        state.load("net", into=[])
