"""Every module, optimizer, scheduler and dtype of PyTorch goes on as if it had never stopped.

A release of PyTorch that adds a class fails here until the class is listed or left out.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.state.steps import digest_of, make_context, sent, step, stored_and_read

torch = pytest.importorskip("torch", reason="PyTorch is optional: pip install torch")
nn, optim, schedulers = torch.nn, torch.optim, torch.optim.lr_scheduler

Inputs = tuple[Any, ...]


def x(*shape: int) -> Any:
    return torch.randn(*shape)


def positive(*shape: int) -> Any:
    return torch.rand(*shape) * 0.8 + 0.1


def classes(*shape: int) -> Any:
    return torch.randint(0, 3, shape)


def signs(*shape: int) -> Any:
    return torch.randint(0, 2, shape) * 2.0 - 1


# By class: its arguments, and what it is called with.
V, S, P, Q = (lambda: (x(4, 6),)), (lambda: (x(2, 4, 8),)), (lambda: (x(2, 4, 8, 8),)), None
Q = lambda: (x(2, 4, 4, 4, 4),)  # noqa: E731
BY_DIMENSION = {1: S, 2: P, 3: Q}


def _dimensional() -> dict[str, tuple[Inputs, Any]]:
    found: dict[str, tuple[Inputs, Any]] = {}
    for dimension, inputs in BY_DIMENSION.items():
        for name, arguments in {
            **dict.fromkeys(("AdaptiveAvgPool", "AdaptiveMaxPool", "AvgPool", "MaxPool"), (2,)),
            **dict.fromkeys(("CircularPad", "ReflectionPad", "ReplicationPad", "ZeroPad"), (1,)),
            **dict.fromkeys(("BatchNorm", "InstanceNorm"), (4,)),
            **dict.fromkeys(("Conv", "ConvTranspose"), (4, 3, 2)),
            **dict.fromkeys(("LazyConv", "LazyConvTranspose"), (3, 2)),
            **dict.fromkeys(("LazyBatchNorm", "LazyInstanceNorm", "Dropout"), ()),
            "ConstantPad": (1, 0.5),
            "LPPool": (2, 2),
        }.items():
            found[f"{name}{dimension}d"] = (arguments, inputs)
    for name in ("FractionalMaxPool2d", "FractionalMaxPool3d"):
        found[name] = ((2, 2), BY_DIMENSION[int(name[-2])])
    return found


def pair() -> Inputs:
    return x(4, 6), x(4, 6)


MODULES: dict[str, tuple[Inputs, Callable[[], Inputs]]] = {
    **_dimensional(),
    **dict.fromkeys(
        (
            *("CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh"),
            *("LeakyReLU", "LogSigmoid", "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU"),
            *("SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink"),
            *("AlphaDropout", "Dropout", "FeatureAlphaDropout", "Identity", "Flatten", "GLU"),
        ),
        ((), V),
    ),
    **dict.fromkeys(("LogSoftmax", "Softmax", "Softmin"), ((1,), V)),
    "Softmax2d": ((), P),
    "Threshold": ((0.1, 0.2), V),
    "Linear": ((6, 3), V),
    "LazyLinear": ((3,), V),
    "Bilinear": ((6, 6, 2), pair),
    "LayerNorm": ((6,), V),
    "RMSNorm": ((6,), V),
    "GroupNorm": ((2, 4), S),
    "LocalResponseNorm": ((2,), S),
    "CrossMapLRN2d": ((2,), P),
    "ChannelShuffle": ((2,), P),
    "PixelShuffle": ((2,), P),
    "PixelUnshuffle": ((2,), P),
    "Upsample": ((3,), S),
    "UpsamplingBilinear2d": ((3,), P),
    "UpsamplingNearest2d": ((3,), P),
    "Fold": ((8, 2), lambda: (x(2, 16, 49),)),
    "Unfold": ((2,), P),
    "Unflatten": ((1, (2, 3)), V),
    "MaxUnpool1d": ((2,), lambda: nn.functional.max_pool1d(x(2, 4, 8), 2, return_indices=True)),
    "MaxUnpool2d": (
        (2,),
        lambda: nn.functional.max_pool2d(x(2, 4, 8, 8), 2, return_indices=True),
    ),
    "MaxUnpool3d": (
        (2,),
        lambda: nn.functional.max_pool3d(x(1, 2, 4, 4, 4), 2, return_indices=True),
    ),
    "Embedding": ((3, 4), lambda: (classes(4, 2),)),
    "EmbeddingBag": ((3, 4), lambda: (classes(4, 2),)),
    "RNN": ((6, 3), lambda: (x(2, 4, 6),)),
    "LSTM": ((6, 3), lambda: (x(2, 4, 6),)),
    "GRU": ((6, 3), lambda: (x(2, 4, 6),)),
    "RNNCell": ((6, 3), V),
    "LSTMCell": ((6, 3), V),
    "GRUCell": ((6, 3), V),
    "MultiheadAttention": ((6, 2), lambda: (x(2, 4, 6), x(2, 4, 6), x(2, 4, 6))),
    "Transformer": ((6, 2, 1, 1, 8), lambda: (x(2, 4, 6), x(3, 4, 6))),
    "TransformerEncoderLayer": ((6, 2, 8), lambda: (x(2, 4, 6),)),
    "TransformerDecoderLayer": ((6, 2, 8), lambda: (x(2, 4, 6), x(3, 4, 6))),
    "TransformerEncoder": (
        (lambda: nn.TransformerEncoderLayer(6, 2, 8), 2),
        lambda: (x(2, 4, 6),),
    ),
    "TransformerDecoder": (
        (lambda: nn.TransformerDecoderLayer(6, 2, 8), 2),
        lambda: (x(2, 4, 6), x(3, 4, 6)),
    ),
    "AdaptiveLogSoftmaxWithLoss": ((6, 10, [2, 4]), lambda: (x(4, 6), classes(4))),
    **dict.fromkeys(
        (
            "CosineSimilarity",
            "PairwiseDistance",
            "HuberLoss",
            "L1Loss",
            "MSELoss",
            "SmoothL1Loss",
        ),
        ((), pair),
    ),
    "KLDivLoss": ((), lambda: (x(4, 6).log_softmax(1), positive(4, 6))),
    "BCELoss": ((), lambda: (positive(4, 6), positive(4, 6))),
    "BCEWithLogitsLoss": ((), lambda: (x(4, 6), positive(4, 6))),
    "PoissonNLLLoss": ((), lambda: (x(4, 6), positive(4, 6))),
    "GaussianNLLLoss": ((), lambda: (x(4, 6), x(4, 6), positive(4, 6))),
    "CTCLoss": (
        (),
        lambda: (
            x(8, 2, 4).log_softmax(2),
            torch.randint(1, 4, (2, 3)),
            torch.tensor([8, 8]),
            torch.tensor([3, 3]),
        ),
    ),
    "CosineEmbeddingLoss": ((), lambda: (x(4, 6), x(4, 6), signs(4))),
    "CrossEntropyLoss": ((torch.tensor([1.0, 2, 3]),), lambda: (x(4, 3), classes(4))),
    "NLLLoss": ((), lambda: (x(4, 3).log_softmax(1), classes(4))),
    "NLLLoss2d": ((), lambda: (x(4, 3, 2, 2).log_softmax(1), classes(4, 2, 2))),
    "HingeEmbeddingLoss": ((), lambda: (x(4, 6), signs(4, 6))),
    "MarginRankingLoss": ((), lambda: (x(4), x(4), signs(4))),
    "MultiLabelMarginLoss": ((), lambda: (x(4, 3), classes(4, 3))),
    "MultiLabelSoftMarginLoss": ((), lambda: (x(4, 3), classes(4, 3).clamp(max=1).float())),
    "MultiMarginLoss": ((), lambda: (x(4, 3), classes(4))),
    "SoftMarginLoss": ((), lambda: (x(4, 6), signs(4, 6))),
    "TripletMarginLoss": ((), lambda: (x(4, 6), x(4, 6), x(4, 6))),
    "TripletMarginWithDistanceLoss": ((), lambda: (x(4, 6), x(4, 6), x(4, 6))),
    "LinearCrossEntropyLoss": ((6, 3), lambda: (x(4, 6), classes(4))),
    "Sequential": ((lambda: nn.Linear(6, 4), lambda: nn.BatchNorm1d(4)), V),
}
# What holds others and cannot be called itself; it is trained through what it holds.
CONTAINERS: dict[str, Callable[[], Any]] = {
    "ModuleList": lambda: nn.ModuleList([nn.Linear(6, 4)]),
    "ModuleDict": lambda: nn.ModuleDict({"a": nn.Linear(6, 4)}),
    "ParameterList": lambda: nn.ParameterList([x(6, 4), x(2)]),
    "ParameterDict": lambda: nn.ParameterDict({"a": x(6, 4)}),
}
# PyTorch itself cannot call one that took its values before its first call: it checks the input
# against the number of features, which only that call sets.
CALLED_FIRST = {"LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d"}
LEFT_OUT = {
    "Module": "the base of all",
    "Container": "an empty base that is deprecated",
    "RNNBase": "the base of RNN, LSTM and GRU",
    "RNNCellBase": "the base of RNNCell, LSTMCell and GRUCell",
    "DataParallel": "has the state of the module that it is given, and needs GPUs to differ",
    "SyncBatchNorm": "has the state of BatchNorm, and is called only on GPUs",
    "Parameter": "a tensor; see test_torch.py",
    "Buffer": "a tensor; see test_torch.py",
    "UninitializedParameter": "a tensor; see the lazy modules",
    "UninitializedBuffer": "a tensor; see the lazy modules",
    "LinearCrossEntropyOptions": "options of a loss; no module",
}


def names(module: Any) -> set[str]:
    return {name for name, value in vars(module).items() if isinstance(value, type)}


def build(name: str) -> Any:
    torch.manual_seed(5)
    if name in CONTAINERS:
        return CONTAINERS[name]()
    # Modules among the arguments are made anew each time.
    made = [a() if callable(a) else a for a in MODULES[name][0]]
    return getattr(nn, name)(*made)


def outputs(module: Any, inputs: Inputs) -> list[Any]:
    if not isinstance(
        module, nn.ModuleList | nn.ModuleDict | nn.ParameterList | nn.ParameterDict
    ):
        return tensors(module(*inputs))
    held = module.values() if hasattr(module, "values") else module
    return [h(*inputs) if isinstance(h, nn.Module) else h.sum() for h in held]


def tensors(value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value if item is not None for t in tensors(item)]


def train(module: Any, inputs: Inputs) -> list[Any]:
    """Take one step of training, and return what the module put out before it."""
    module.train()
    torch.manual_seed(7)
    given = outputs(module, inputs)
    loss = sum(t.float().pow(2).sum() for t in given if t.is_floating_point())
    parameters = [p for p in module.parameters() if p.requires_grad]
    if parameters and loss.requires_grad:
        optim.SGD(parameters, 0.01).zero_grad()
        loss.backward()
        optim.SGD(parameters, 0.01).step()
    return [t.detach().clone() for t in given]


def bits(value: Any) -> Any:
    """Return everything in a value, tensors to the bit."""
    if isinstance(value, torch.Tensor):
        if nn.parameter.is_lazy(value):
            return type(value).__name__
        dense = value.detach().contiguous().reshape(-1).view(torch.uint8)
        return str(value.dtype), tuple(value.shape), bytes(dense.numpy())
    if isinstance(value, dict):
        items = [(key, bits(item)) for key, item in value.items()]
        return type(value).__name__, sorted(items, key=repr) if type(value) is dict else items
    if isinstance(value, list | tuple):
        return [bits(item) for item in value]
    return repr(value)


def store(**values: Any) -> Any:
    context = make_context()
    with step(context) as state:
        state.update(values)
    return sent(context)


def test_every_module_is_listed() -> None:
    listed = {*MODULES, *CONTAINERS, *LEFT_OUT}
    assert names(nn) == listed & names(nn), f"new: {sorted(names(nn) - listed)}"
    assert not listed - names(nn), f"gone: {sorted(listed - names(nn))}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*MODULES, *CONTAINERS])
def test_every_module_goes_on_to_the_bit(name: str) -> None:
    trained, fresh = build(name), build(name)
    inputs: Inputs = (x(4, 6),) if name in CONTAINERS else MODULES[name][1]()
    # A lazy module that was never called has no values; one that was, takes them along.
    with step(store(module=trained)) as state:
        state.load("module", into=fresh)
    for _ in range(2):
        train(trained, inputs)
    torch.manual_seed(11)
    other = build(name)
    if name in CALLED_FIRST:
        other(*inputs)
    for parameter in other.parameters():
        if not nn.parameter.is_lazy(parameter):
            parameter.data.add_(1)
    context = store(module=trained)
    with step(context) as state:
        state.load("module", into=other)
        read = state["module"]
    assert bits(read) == bits(trained.state_dict())
    assert vars(read).keys() == vars(trained.state_dict()).keys()
    assert bits(other.state_dict()) == bits(trained.state_dict())
    assert digest_of(other) == digest_of(trained) == digest_of(read)
    trained.eval(), other.eval()
    torch.manual_seed(13)
    expected = bits(outputs(trained, inputs))
    torch.manual_seed(13)
    assert bits(outputs(other, inputs)) == expected
    assert bits(train(other, inputs)) == bits(train(trained, inputs))
    assert bits(other.state_dict()) == bits(trained.state_dict())


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
@pytest.mark.parametrize("into", OPTIMIZERS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_of_another_kind_is_refused(name: str, into: str, as_value: bool) -> None:
    from fedstate.state import StateFitError

    if name == into or ((name, into) == ("AdamW", "Adam") and not as_value):
        return  # Adam(decoupled_weight_decay=True) is what AdamW is
    net, other = make_net(), make_net()
    optimizer = make_optimizer(name, net)
    take(net, optimizer, 1)
    target = make_optimizer(into, other)
    take(other, target, 2)
    before = snapshot(target)
    with (
        step(store(o=optimizer if as_value else optimizer.state_dict())) as state,
        pytest.raises(StateFitError, match=r"^State value 'o': "),
    ):
        state.load("o", into=target)
    assert snapshot(target) == before


@pytest.mark.parametrize("as_value", [False, True], ids=["state_dict", "optimizer"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("hidden", [1, 5])
def test_moments_of_other_shapes_are_refused(name: str, hidden: int, as_value: bool) -> None:
    from fedstate.state import StateFitError

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
@pytest.mark.parametrize("into", SCHEDULERS)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_of_another_kind_is_refused(name: str, into: str, as_value: bool) -> None:
    from fedstate.state import StateFitError

    (scheduler, _), (target, _) = scheduled(name), scheduled(into)
    if name == into or (
        not as_value and scheduler.state_dict().keys() == target.state_dict().keys()
    ):
        return
    before = copy.deepcopy(target.state_dict())
    with (
        step(store(s=scheduler if as_value else scheduler.state_dict())) as state,
        pytest.raises(StateFitError, match=r"^State value 's': "),
    ):
        state.load("s", into=target)
    assert target.state_dict() == before


DTYPES = sorted(
    {str(v).removeprefix("torch.") for v in vars(torch).values() if isinstance(v, torch.dtype)}
)
QUANTIZED = {"qint8", "quint8", "qint32"}
DTYPES_LEFT_OUT = {
    "quint4x2": "PyTorch gives nobody the elements, and does not train with them",
    "quint2x4": "as quint4x2",
}


def make_tensor(name: str, shape: tuple[int, ...]) -> Any:
    dtype = getattr(torch, name)
    if name in QUANTIZED:
        return torch.quantize_per_tensor(torch.ones(shape), 0.5, 3, dtype)
    if not shape:
        return torch.zeros(dtype.itemsize, dtype=torch.uint8).view(dtype).reshape(())
    raw = torch.arange(shape[0] * shape[1] * dtype.itemsize, dtype=torch.uint8)
    raw = raw % 2 if name == "bool" else raw
    return raw.view(dtype).reshape(shape)


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
@pytest.mark.parametrize("name", [name for name in DTYPES if name not in DTYPES_LEFT_OUT])
def test_every_dtype_comes_back_to_the_bit(name: str, shape: tuple[int, ...]) -> None:
    if name in QUANTIZED and 0 in shape:
        return
    tensor = make_tensor(name, shape)
    for back in (stored_and_read({"t": tensor})["t"], stored_and_read([tensor])[0]):
        assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
        one, other = (t.int_repr() if name in QUANTIZED else t for t in (back, tensor))
        assert bits(one) == bits(other)
    assert digest_of([tensor]) == digest_of([back])


@pytest.mark.parametrize("name", DTYPES_LEFT_OUT)
def test_a_dtype_that_is_left_out_is_refused(name: str) -> None:
    from fedstate.state import StateTypeError

    tensor = torch.quantize_per_tensor(torch.ones(4), 0.5, 3, getattr(torch, name))
    with pytest.raises(StateTypeError, match=r"convert it with dequantize\(\)"):
        stored_and_read(tensor)
