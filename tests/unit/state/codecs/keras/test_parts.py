"""Parts of models: layers at any depth, and single variables."""

from typing import Any

import numpy as np
import pytest

from fedstate.state import StateTypeError, weights_of
from tests.unit.state.keras_models import is_norm, load, nested, stack


@pytest.mark.parametrize(
    ("choice", "begins"),
    [
        (is_norm, ["one/norm", "two/norm"]),
        (["two"], ["two/dense", "two/norm"]),
        (["two/norm"], ["two/norm"]),
        (["head", "one/norm"], ["one/norm", "head"]),
        (["head/kernel"], ["head"]),
        (lambda layer: layer.name == "one", ["one/dense", "one/norm"]),
    ],
)
def test_a_part_may_lie_at_any_depth(choice: Any, begins: list[str]) -> None:
    source, target = nested(), nested()
    names = list(weights_of(source, choice).variables())
    assert list(dict.fromkeys(name.rpartition("/")[0] for name in names)) == begins
    others = {id(v) for v in weights_of(target, choice).variables().values()}
    kept = [np.asarray(v) for v in target.weights if id(v) not in others]
    for variable in source.weights:
        variable.assign(np.random.default_rng().uniform(size=variable.shape))
    load(weights_of(source, choice), target)
    for now, before in zip([v for v in target.weights if id(v) not in others], kept, strict=True):
        np.testing.assert_array_equal(np.asarray(now), before)
    chosen = weights_of(target, choice).variables()
    for name, variable in weights_of(source, choice).variables().items():
        np.testing.assert_array_equal(np.asarray(chosen[name]), np.asarray(variable))


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (["norm"], "has 2 layers 'norm': one/norm, two/norm; give the path"),
        (["tail"], "has no layer 'tail'; its layers are one, one/dense"),
        (lambda _: False, "No layer with weights was chosen"),
        (lambda layer: not is_norm(layer), "chooses the layer 'one' .* and not 'one/norm'"),
    ],
)
def test_a_choice_that_leaves_something_out_says_so(choice: Any, sentence: str) -> None:
    with pytest.raises(StateTypeError, match=sentence):
        weights_of(nested(), choice)


def test_adapters_alone_can_be_kept() -> None:
    def make() -> Any:
        model = stack(["a", "b"])
        for layer in model.layers:
            layer.enable_lora(2)
        return model

    def is_adapter(variable: Any) -> bool:
        return str(variable.name).startswith("lora")

    source, target = make(), make()
    source.layers[1].lora_kernel_b.assign(np.ones((2, 3)))
    kernel = np.asarray(target.layers[1]._kernel)
    load(weights_of(source, variables=is_adapter), target)
    np.testing.assert_array_equal(np.asarray(target.layers[1].lora_kernel_b), np.ones((2, 3)))
    np.testing.assert_array_equal(np.asarray(target.layers[1]._kernel), kernel)
    assert list(weights_of(source, variables=["lora_kernel_a"]).variables()) == [
        *("a/lora_kernel_a", "b/lora_kernel_a")
    ]
    with pytest.raises(StateTypeError, match="has no variable 'lora_c'; its variables are a/"):
        weights_of(source, variables=["lora_c"])
