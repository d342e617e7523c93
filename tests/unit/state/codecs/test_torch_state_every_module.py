"""Every module of PyTorch goes on as if it had never stopped.

A release of PyTorch that adds a class fails here until the class is listed or left out.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.state.steps import digest_of, step
from tests.unit.state.torch_objects import bits, names, nn, optim, store, threads, torch

Inputs = tuple[Any, ...]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors: on a busy machine threads take longer to meet than to compute."""
    with threads(1):
        yield


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
    "Parameter": "a tensor; see test_torch_values.py",
    "Buffer": "a tensor; see test_torch_values.py",
    "UninitializedParameter": "a tensor; see the lazy modules",
    "UninitializedBuffer": "a tensor; see the lazy modules",
    "LinearCrossEntropyOptions": "options of a loss; no module",
}


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
