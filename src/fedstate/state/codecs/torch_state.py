"""PyTorch modules and what their ``state_dict`` returns, bfloat16 and its kin included."""

import sys
from typing import Any

from flwr.app import ArrayRecord

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.tensors import decode_tensor, encode_tensor, is_tensor
from fedstate.state.errors import StateDamagedError, StateFitError, StateTypeError


class TorchStateCodec(Codec[dict[str, Any]]):
    """``state["net"] = net``, and ``state.load("net", into=net)``."""

    tag = "torch.state_dict"

    def accepts(self, value: object) -> bool:
        """Return whether `value` is a module, or a dictionary of tensors by name."""
        if _is_module(value):
            return True
        return (
            isinstance(value, dict)
            and len(value) > 0
            and all(type(key) is str for key in value)
            and all(is_tensor(item) for item in value.values())
        )

    def encode(self, value: Any) -> Encoded:
        """Return an ArrayRecord with an Array per tensor, in the ``state_dict``'s order."""
        state_dict = value.state_dict() if _is_module(value) else value
        for name, item in state_dict.items():
            if not is_tensor(item):
                raise StateTypeError(
                    f"{name!r} in the state_dict is a {type(item).__name__}, not a tensor"
                )
        return Encoded(ArrayRecord({name: encode_tensor(t) for name, t in state_dict.items()}))

    def decode(self, encoded: Encoded) -> dict[str, Any]:
        """Return the tensors by name, on the CPU."""
        if not isinstance(encoded.record, ArrayRecord):
            raise StateDamagedError("its record is not an ArrayRecord")
        return {name: decode_tensor(array) for name, array in encoded.record.items()}

    def load(self, encoded: Encoded, into: Any) -> None:
        """Put the tensors into a module, after all of them were found to fit.

        A part of a module is a module itself: ``state.load("head", into=net.head)``.
        """
        if not _is_module(into):
            super().load(encoded, into)
        stored, expected = self.decode(encoded), into.state_dict()
        for name, tensor in expected.items():
            if name not in stored:
                raise StateFitError(
                    f"{name!r} of shape {tuple(tensor.shape)} in the module is not stored"
                )
            if stored[name].shape != tensor.shape:
                raise StateFitError(
                    f"{name!r} has shape {tuple(tensor.shape)} in the module, and "
                    f"{tuple(stored[name].shape)} as stored"
                )
            if stored[name].dtype != tensor.dtype:
                raise StateFitError(
                    f"{name!r} has dtype {tensor.dtype} in the module, and "
                    f"{stored[name].dtype} as stored"
                )
        surplus = [name for name in stored if name not in expected]
        if surplus:
            raise StateFitError(
                f"{surplus[0]!r} of shape {tuple(stored[surplus[0]].shape)} is stored, and the "
                "module has no such tensor"
            )
        into.load_state_dict(stored)


def _is_module(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)
