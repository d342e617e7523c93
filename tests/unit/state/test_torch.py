"""PyTorch modules, state dictionaries and optimizers."""

import copy
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


class Counting(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A module with a state of its own, which it refuses to take if it is told to."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)
        self.counts = {"n": count, "tensor": torch.ones(2)}
        self.refuses = False

    def get_extra_state(self) -> Any:
        return {"n": self.counts["n"], "words": ("a", {1: b"b"})}

    def set_extra_state(self, state: Any) -> None:
        self.counts["n"] = state["n"]
        if self.refuses:
            raise RuntimeError("It is\nrefused.")


def test_extra_state_is_kept() -> None:
    net, other = Counting(3), Counting(4)
    with step(remember(net=net, deep={"net": [net]})) as state:
        state.load("net", into=other)
        assert other.counts["n"] == 3
        assert state["net"]["_extra_state"] == net.get_extra_state()
        assert state["deep"]["net"][0]["_extra_state"] == net.get_extra_state()
    assert torch.equal(other.linear.weight, net.linear.weight)


def test_a_module_that_refuses_at_the_end_is_as_it_was() -> None:
    net, other = (
        torch.nn.Sequential(Counting(3), Counting(5)),
        torch.nn.Sequential(Counting(4), Counting(6)),
    )
    other[1].refuses = True
    before = {name: copy.deepcopy(item) for name, item in other.state_dict().items()}
    parameters = [id(p) for p in other.parameters()]
    with (
        step(remember(net=net)) as state,
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
    with step(remember(net=net)) as state:
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
    with step(remember(optimizer=optimizer, schedule=schedule)) as state:
        with pytest.raises(StateFitError, match="Adam does not take it: 'refused'"):
            state.load("optimizer", into=other)
        state["broken"] = {**schedule.state_dict(), "base_lrs": 3}
        with pytest.raises(StateFitError, match="its 'base_lrs' is a int"):
            state.load("broken", into=other_schedule)
    assert repr([other.state_dict(), other_schedule.state_dict()]) == repr(before)
    assert [id(group) for group in other.param_groups] == held


def test_names_are_compared_before_shapes() -> None:
    net = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 3), "b": torch.nn.Linear(3, 1)})
    less = torch.nn.ModuleDict({"b": torch.nn.Linear(9, 1)})
    with (
        step(remember(net=net)) as state,
        pytest.raises(StateFitError, match=r"'a.weight' of shape \(3, 2\) is stored, and the"),
    ):
        state.load("net", into=less)


def test_what_has_no_value_is_kept_as_that() -> None:
    lazy = torch.nn.LazyLinear(3)
    meta = torch.nn.Linear(2, 3, device="meta")
    with step(remember(lazy=lazy, meta=meta, net=torch.nn.Linear(2, 3))) as state:
        assert torch.nn.parameter.is_lazy(state["lazy"]["weight"])
        assert state["meta"]["weight"].is_meta
        assert state["meta"]["weight"].shape == (3, 2)
        state.load("lazy", into=torch.nn.LazyLinear(3))
        state.load("meta", into=torch.nn.Linear(2, 3, device="meta"))
        with pytest.raises(StateFitError, match="was stored from the device 'meta', without"):
            state.load("meta", into=torch.nn.Linear(2, 3))
        with pytest.raises(StateFitError, match="is on the device 'meta' in the module, which"):
            state.load("net", into=meta)
        with pytest.raises(StateFitError, match="was stored before it had a value"):
            state.load("lazy", into=torch.nn.Linear(2, 3))


@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "bsr", "bsc"])
def test_sparse_tensors_come_back(layout: str) -> None:
    dense = torch.tensor([[0.0, 2], [3, 0]])
    convert = f"to_sparse_{layout}" if layout != "coo" else "to_sparse"
    tensor = getattr(dense, convert)(*([(1, 1)] if layout[0] == "b" else []))
    (back,) = stored_and_read([tensor])
    assert back.layout == tensor.layout
    assert torch.equal(back.to_dense(), dense)
    assert digest_of(back) == digest_of(tensor)


def test_pytorchs_other_values_come_back() -> None:
    scales = torch.tensor([0.5, 0.25], dtype=torch.float64)
    channels = torch.quantize_per_channel(
        torch.ones(2, 3), scales, torch.tensor([0, 1]), 0, torch.qint8
    )
    generator = torch.Generator().manual_seed(5)
    torch.rand(1, generator=generator)
    nested = torch.nested.nested_tensor([torch.ones(2), torch.zeros(3)])
    values = [
        *(torch.float8_e5m2, torch.device("cuda:1"), torch.Size([2, 3]), torch.strided),
        *(torch.channels_last, torch.nn.Parameter(torch.ones(2), requires_grad=False)),
        *(channels, nested, generator),
    ]
    back = stored_and_read(values)
    assert [type(item) for item in back] == [type(item) for item in values]
    assert back[:5] == values[:5]
    assert not back[5].requires_grad
    assert torch.equal(back[6].dequantize(), channels.dequantize())
    assert [t.tolist() for t in back[7].unbind()] == [[1, 1], [0, 0, 0]]
    assert torch.rand(1, generator=back[8]) == torch.rand(1, generator=generator)


def test_whatever_has_load_state_dict_takes_a_value_or_is_as_it_was() -> None:
    class Sampler:
        def __init__(self) -> None:
            self.order = [1, 2]

        def load_state_dict(self, state: Any) -> None:
            self.order.append(state["at"])
            self.order.append(state["end"])

    sampler = Sampler()
    with step(remember(good={"at": 3, "end": 4}, bad={"at": 3})) as state:
        with pytest.raises(StateFitError, match="Sampler does not take it: 'end'"):
            state.load("bad", into=sampler)
        assert sampler.order == [1, 2]
        state.load("good", into=sampler)
    assert sampler.order == [1, 2, 3, 4]
