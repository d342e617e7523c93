"""PyTorch modules and what their ``state_dict`` returns, bfloat16 and its kin included."""

import json
from collections import OrderedDict
from typing import Any, ClassVar

from flwr.app import ArrayRecord

from fedstate.state.codecs.base import Codec, Encoded, Migration
from fedstate.state.codecs.tensors import encode_tensor, is_dense
from fedstate.state.codecs.torch_load import load_state
from fedstate.state.codecs.tree import from_tree, to_tree
from fedstate.state.errors import StateDamagedError
from fedstate.state.kinds.torch_values import is_module

_KEY = "json"


class TorchStateCodec(Codec[dict[str, Any]]):
    """``state["net"] = net``, and ``state.load("net", into=net)``.

    Version 1 is a dictionary of tensors and nothing else, and is still written for one. Version 2
    has everything that a module's ``state_dict`` may hold: the versions of its modules, extra
    state, parameters without a value.
    """

    tag = "torch.state_dict"
    version = 2
    migrations: ClassVar[dict[int, Migration]] = {1: lambda encoded: _as_version_2(encoded)}
    described: ClassVar = (
        (
            "a PyTorch module or its `state_dict`, with extra state and lazy parameters",
            "its `state_dict`, or `load(…, into=module)`",
        ),
    )

    def accepts(self, value: object) -> bool:
        """Return whether `value` is a module, its ``state_dict``, or tensors by name."""
        return is_module(value) or _is_state_dict(value) or _is_plain(value)

    def encode(self, value: Any) -> Encoded:
        """Return an ArrayRecord with an Array per tensor, in the ``state_dict``'s order."""
        if _is_plain(value):
            arrays = {name: encode_tensor(tensor) for name, tensor in value.items()}
            return Encoded(ArrayRecord(arrays), version=1)
        tree = to_tree(value)
        return Encoded(ArrayRecord(tree.arrays), {_KEY: tree.text})

    def decode(self, encoded: Encoded) -> dict[str, Any]:
        """Return the ``state_dict``, its tensors on the CPU."""
        record, text = encoded.record, encoded.meta.get(_KEY)
        if not isinstance(record, ArrayRecord) or not isinstance(text, str):
            raise StateDamagedError("its record is not that of a state_dict")
        value = from_tree(text, dict(record))
        if not isinstance(value, dict):
            raise StateDamagedError("its structure is not that of a state_dict")
        return value

    def load(self, encoded: Encoded, into: Any) -> None:
        """Put the state into a module, after all of it was found to fit.

        A part of a module is a module itself: ``state.load("head", into=net.head)``.
        """
        if not hasattr(into, "load_state_dict"):
            super().load(encoded, into)
        load_state(self.decode(encoded), into)


def _is_state_dict(value: object) -> bool:
    return type(value) is OrderedDict and "_metadata" in vars(value)


def _is_plain(value: object) -> bool:
    return (
        type(value) is dict
        and len(value) > 0
        and all(type(key) is str for key in value)
        and all(is_dense(item) for item in value.values())
    )


def _as_version_2(encoded: Encoded) -> Encoded:
    if not isinstance(encoded.record, ArrayRecord):
        raise StateDamagedError("its record is not an ArrayRecord")
    nodes = {name: {"@": "tensor", "of": name} for name in encoded.record}
    pairs = [[name, node] for name, node in nodes.items()]
    text = json.dumps({"@": "dict", "of": pairs})
    return Encoded(encoded.record, {_KEY: text})
