"""PyTorch's optimizers and learning rate schedulers, by what their ``state_dict`` returns."""

from typing import Any, ClassVar

from flwr.app import ArrayRecord

from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.torch_fit import class_name
from fedstate.state.codecs.torch_load import (
    OptimizerState,
    SchedulerState,
    is_optimizer,
    is_scheduler,
    load_state,
)
from fedstate.state.codecs.tree import from_tree, to_tree
from fedstate.state.errors import StateDamagedError

_KEY = "json"


class TorchOptimizerCodec(Codec[OptimizerState]):
    """``state["optimizer"] = optimizer``, and ``state.load("optimizer", into=optimizer)``."""

    tag = "torch.optimizer"
    described: ClassVar = (
        (
            "a PyTorch optimizer or its `state_dict`",
            "its `state_dict`, or `load(…, into=optimizer)`",
        ),
    )

    def accepts(self, value: object) -> bool:
        """Return whether `value` is an optimizer, or the state of one that was read."""
        return is_optimizer(value) or isinstance(value, OptimizerState)

    def encode(self, value: Any) -> Encoded:
        """Return an ArrayRecord with the moments, and the rest beside it."""
        if isinstance(value, OptimizerState):
            return _encode(dict(value), {"owner": value.owner, "shapes": value.shapes})
        shapes = [[list(p.shape) for p in group["params"]] for group in value.param_groups]
        state = value.state_dict()
        return _encode(state, {"owner": class_name(value), "shapes": shapes})

    def decode(self, encoded: Encoded) -> OptimizerState:
        """Return the ``state_dict``, its tensors on the CPU."""
        meta, shapes = encoded.meta, encoded.meta.get("shapes")
        if not isinstance(shapes, list):
            raise StateDamagedError("it does not say the shapes of the parameters")
        return OptimizerState(_decode(encoded), str(meta.get("owner")), shapes)

    def load(self, encoded: Encoded, into: Any) -> None:
        """Put the state into an optimizer of the same class, for parameters of equal shapes."""
        if not is_optimizer(into):
            super().load(encoded, into)
        load_state(self.decode(encoded), into)


class TorchSchedulerCodec(Codec[SchedulerState]):
    """``state["schedule"] = scheduler``, and ``state.load("schedule", into=scheduler)``."""

    tag = "torch.scheduler"
    described: ClassVar = (
        (
            "a PyTorch learning rate scheduler or its `state_dict`",
            "its `state_dict`, or `load(…, into=scheduler)`",
        ),
    )

    def accepts(self, value: object) -> bool:
        """Return whether `value` is a scheduler, or the state of one that was read."""
        return is_scheduler(value) or isinstance(value, SchedulerState)

    def encode(self, value: Any) -> Encoded:
        """Return what the scheduler's ``state_dict`` returns."""
        if isinstance(value, SchedulerState):
            return _encode(dict(value), {"owner": value.owner})
        return _encode(value.state_dict(), {"owner": class_name(value)})

    def decode(self, encoded: Encoded) -> SchedulerState:
        """Return the ``state_dict``."""
        return SchedulerState(_decode(encoded), str(encoded.meta.get("owner")))

    def load(self, encoded: Encoded, into: Any) -> None:
        """Put the state into a scheduler of the same class."""
        if not is_scheduler(into):
            super().load(encoded, into)
        load_state(self.decode(encoded), into)


def _encode(state: Any, meta: dict[str, Any]) -> Encoded:
    tree = to_tree(state)
    arrays = {key: tree.arrays[key] for key in sorted(tree.arrays)}
    return Encoded(ArrayRecord(arrays), {**meta, _KEY: tree.text})


def _decode(encoded: Encoded) -> dict[str, Any]:
    record, text = encoded.record, encoded.meta.get(_KEY)
    if not isinstance(record, ArrayRecord) or not isinstance(text, str):
        raise StateDamagedError("its record is not that of a state_dict")
    value = from_tree(text, dict(record))
    if not isinstance(value, dict):
        raise StateDamagedError("its structure is not that of a state_dict")
    return value
