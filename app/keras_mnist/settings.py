"""The run config, checked: every value that cannot be used ends in one sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from fedstate.errors import SettingError


@dataclass(frozen=True)
class Settings:
    """What ``flwr run -c 'key=value'`` can change; a field ``num_rounds`` is key ``num-rounds``.

    Attributes
    ----------
    num_rounds : int
        Rounds of training, at least 1.
    local_epochs : int
        Passes over a node's data in each round, at least 1.
    batch_size : int
        Images per step of gradient descent, at least 1.
    learning_rate : float
        Of the Adam optimizer, above 0.
    fraction_train : float
        The part of the nodes that trains in each round, above 0 and at most 1.
    dirichlet_alpha : float
        How alike the nodes' label distributions are, above 0; 100 is nearly IID.
    seed : int
        Of the data split, the initial weights and the shuffling, from 0 to 2**31 - 1.
    min_nodes : int
        How many connected nodes a run waits for, at least 1.
    node_timeout : float
        Seconds that a run waits for them, above 0.
    resend_seconds : float
        Seconds, in each round, that a run waits for a node that was lost, from 0.
    on_lost_node : str
        What happens to the run if it stays away longer: ``continue`` or ``fail``.
    """

    num_rounds: int
    local_epochs: int
    batch_size: int
    learning_rate: float
    fraction_train: float
    dirichlet_alpha: float
    seed: int
    min_nodes: int
    node_timeout: float
    resend_seconds: float
    on_lost_node: Literal["continue", "fail"]

    @classmethod
    def from_run_config(cls, run_config: Mapping[str, object]) -> "Settings":
        """Read and check ``context.run_config``.

        Raises
        ------
        SettingError
            For the first value that is missing, of the wrong type or out of range.
        """
        values: dict[str, Any] = {}
        for name, (kind, low, high, bound) in _RANGES.items():
            value = run_config.get(_key(name))
            if not _is_number(value, kind) or not low <= value <= high:
                raise _refusal(name, value, bound)
            values[name] = kind(value)
        for name, choices in _CHOICES.items():
            value = run_config.get(_key(name))
            if value not in choices:
                raise _refusal(name, value, " or ".join(map(repr, choices)))
            values[name] = value
        return cls(**values)


def _key(name: str) -> str:
    return name.replace("_", "-")


def _refusal(name: str, value: object, bound: str) -> SettingError:
    return SettingError(
        f"Run config '{_key(name)}' is {value!r}, but has to be {bound}; "
        f"set it with: flwr run -c '{_key(name)}=…'."
    )


def _is_number(value: object, kind: type[int] | type[float]) -> TypeGuard[int | float]:
    # A whole number will do for a float, and to Python a bool is an int.
    return isinstance(value, (int, kind)) and not isinstance(value, bool)


_LEAST = 1e-12  # stands for "above 0"
_MANY = 1_000_000
_RANGES: dict[str, tuple[type[int] | type[float], float, float, str]] = {
    "num_rounds": (int, 1, _MANY, "a whole number from 1 to 1000000"),
    "local_epochs": (int, 1, _MANY, "a whole number from 1 to 1000000"),
    "batch_size": (int, 1, _MANY, "a whole number from 1 to 1000000"),
    "learning_rate": (float, _LEAST, 1e6, "a number above 0"),
    "fraction_train": (float, _LEAST, 1.0, "a number above 0 and at most 1"),
    "dirichlet_alpha": (float, _LEAST, 1e6, "a number above 0"),
    "seed": (int, 0, 2**31 - 1, "a whole number from 0 to 2147483647"),
    "min_nodes": (int, 1, _MANY, "a whole number from 1 to 1000000"),
    "node_timeout": (float, _LEAST, 1e6, "a number of seconds above 0"),
    "resend_seconds": (float, 0, 1e6, "a number of seconds from 0"),
}
_CHOICES: dict[str, tuple[str, ...]] = {"on_lost_node": ("continue", "fail")}
