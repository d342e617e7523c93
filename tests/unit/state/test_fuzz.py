"""Damaged records give the library's own errors: never a wrong value, never a foreign one.

Two kinds of damage. What happens to a state by accident does not match the ledger's digest any
more and is refused on opening. What was altered on purpose, digests made to match, must still
be refused by the codec that reads it, or be the very value that the record now holds.
"""

import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord

from fedstate.state import History, StateDamagedError, StateError, register, weights_of
from fedstate.state.content import record_digests
from fedstate.state.digest import combine
from fedstate.state.ledger import Ledger, LedgerEntry
from tests.unit.state.examples import examples
from tests.unit.state.steps import make_context, sent, step, to_bytes
from tests.unit.state.values import canonical

CASES = examples(1_000, 5_000)


class Marker:
    """A type that the fuzzed app registered."""


def make_model() -> Any:
    import keras

    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(2, name="body"),
            keras.layers.Dense(1, name="head"),
        ]
    )
    model.compile("sgd", "mse")
    return model


def make_state() -> tuple[Context, dict[str, Any]]:
    register(
        Marker, tag="test.fuzz", encode=lambda _: {"words": ["a"]}, decode=lambda d: d["words"]
    )
    model, context = make_model(), make_context()
    with step(context) as state:
        state["number"] = 3
        state["texts"] = ["a", "b"]
        state["array"] = np.arange(6, dtype=np.float32).reshape(2, 3)
        state["nested"] = {"a": [1, (2.5, b"x")], "m": np.ones(2), 3: None}
        state["kinds"] = [
            {frozenset({1, 2}), (1, "a"), Decimal("0.5"), Fraction(1, 3), 1 + 2j},
            deque([1, 2], 3),
            [OrderedDict(b=1, a=2), Counter("aab"), defaultdict(list, a=[1])],
            [datetime(2026, 1, 1, tzinfo=UTC), UUID(int=3), PurePosixPath("a/b"), range(3)],
            bytearray(b"abc"),
            History(3),
        ]
        state["weights"] = model
        state["head"] = weights_of(model, ["head"])
        state["optimizer"] = model.optimizer
        state["marker"] = Marker()
        state["own"] = MetricRecord({"loss": [0.5]})
        for number in range(5):
            state.history("loss", 4).append(number)
    with step(context) as state:
        values = {name: canonical(_plain(state[name])) for name in state}
    return context, values


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(value)
    if hasattr(value, "rounds"):
        return [value.limit, value.dropped, value.rounds, value.values]
    return dict(value) if isinstance(value, MetricRecord) else value


def truncate(chance: random.Random, array: Array) -> None:
    array.data = array.data[: chance.randrange(len(array.data))]


def flip(chance: random.Random, array: Array) -> None:
    data = bytearray(array.data)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    array.data = bytes(data)


def lengthen(chance: random.Random, array: Array) -> None:
    array.data += chance.randbytes(chance.randint(1, 9))


def change_dtype(chance: random.Random, array: Array) -> None:
    names = [
        "float32",
        "int8",
        "bfloat16",
        "object",
        "|V4",
        "",
        "no type",
        "float32\udcff",
        ">f4",
    ]
    array.dtype = chance.choice([name for name in names if name != array.dtype])


def change_shape(chance: random.Random, array: Array) -> None:
    array.shape = (*array.shape[:-1], chance.choice([0, 7, 2**40, 2**62]))


def change_stype(chance: random.Random, array: Array) -> None:
    array.stype = chance.choice(["", "torch", "pickle"])


ARRAY_DAMAGE = [truncate, flip, lengthen, change_dtype, change_shape, change_stype]


def damage_array(chance: random.Random, records: Any) -> None:
    record = records[chance.choice([*records.array_records])]
    key = chance.choice([*record])
    chance.choice(ARRAY_DAMAGE)(chance, record[key])


def rename_array(chance: random.Random, records: Any) -> None:
    record = records.array_records[chance.choice([*records.array_records])]
    key = chance.choice([*record])
    record[key + "x"] = record.pop(key)


def drop_array(chance: random.Random, records: Any) -> None:
    record = records[chance.choice([*records.array_records])]
    del record[chance.choice([*record])]


def swap_kind(chance: random.Random, records: Any) -> None:
    name: str = chance.choice([*records])
    other = [ArrayRecord([np.ones(2)]), MetricRecord({"value": 1}), ConfigRecord({"json": "["})]
    del records[name]
    records[name] = chance.choice(other)


def spoil_text(chance: random.Random, records: Any) -> None:
    name = chance.choice([*records.config_records])
    key = chance.choice([*records[name]])
    value = records[name][key]
    if isinstance(value, str) and value:
        at = chance.randrange(len(value))
        new = chance.choice(["", chr(chance.randrange(32, 1200)), '"', "{", "9" * 30, "null"])
        records[name][key] = value[:at] + new + value[at + chance.randint(0, 3) :]
    else:
        records[name][key] = chance.choice([1, "x", [1, 2], b"", 2.5, True])


def drop_key(chance: random.Random, records: Any) -> None:
    name = chance.choice([*records.config_records])
    del records[name][chance.choice([*records[name]])]


def drop_record(chance: random.Random, records: Any) -> None:
    del records[chance.choice([*records])]


def swap_records(chance: random.Random, records: Any) -> None:
    one, other = chance.sample([*records.array_records], 2)
    records[one], records[other] = records[other], records[one]


DAMAGE: list[Callable[[random.Random, Any], None]] = [
    *[damage_array] * 6,
    rename_array,
    drop_array,
    swap_kind,
    *[spoil_text] * 4,
    drop_key,
    drop_record,
    swap_records,
]


def make_digests_match(records: Any) -> None:
    """Do what somebody would who alters a state and knows how it is protected."""
    ledger = Ledger.read(records)
    if ledger is None:
        raise StateDamagedError("The ledger itself is gone.")
    ledger.digests = record_digests(records)
    entry = LedgerEntry.from_json(ledger.lines[-1])
    fields = {**vars(entry), "digest": combine(ledger.digests)}
    ledger.lines[-1] = LedgerEntry(**fields).to_json()
    ledger.write(records)


@pytest.mark.parametrize("on_purpose", [False, True])
def test_damage_is_refused_or_harmless(on_purpose: bool) -> None:
    (whole, values), model = make_state(), make_model()
    original, refused = to_bytes(whole), 0
    for seed in range(CASES):
        chance = random.Random(seed)  # noqa: S311
        context = sent(whole)
        DAMAGE[seed % len(DAMAGE)](chance, context.state)
        if on_purpose:
            try:
                make_digests_match(context.state)
            except StateError:
                refused += 1
                continue
        read: dict[str, Any] = {}
        try:
            with step(context) as state:
                if seed % 11 == 0:  # Keras takes its time
                    for name in ("weights", "head", "optimizer"):
                        state.load(name, into=model)
                for name in state:
                    read[name] = canonical(_plain(state[name]))
                state.discard()
        except StateError as error:
            refused += str(error).endswith(".")
        else:
            if not on_purpose:
                assert read == values, f"seed {seed} gave a wrong value"
    assert to_bytes(whole) == original
    # Altered on purpose, a number may simply be another number: that is no damage to find.
    assert refused > CASES * (0.5 if on_purpose else 0.95)
