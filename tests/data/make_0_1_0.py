"""Writes ``fedstate-0.1.0.zip``: states, a node store and a backup as fedstate 0.1.0 left them.

The file was made with the code as it was at commit 4551454, with PyTorch 2.13.0, by

    .venv/bin/python -m tests.data.make_0_1_0

and is not to be made again: the code of today would write what the code of today reads. The
values below are what the tests expect to read.
"""

import time
import zipfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ml_dtypes
import numpy as np
from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    Metadata,
    MetricRecord,
    RecordDict,
)

from fedstate.state import open_state, register
from fedstate.store.backup import back_up
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

ARCHIVE = Path(__file__).with_name("fedstate-0.1.0.zip")
NODE = 2**62 + 7
RUNS = (2**63 + 11, 12)
ENTRIES = 4100  # of a history: one full chunk and a bit


@dataclass
class Progress:
    """A type that the app registered with two functions."""

    best: float
    words: list[str]


def register_progress() -> None:
    """Register `Progress` as the app did."""
    register(
        Progress,
        tag="test.progress",
        encode=lambda progress: {"best": progress.best, "words": progress.words},
        decode=lambda data: Progress(data["best"], data["words"]),
    )


def plain_values() -> dict[str, Any]:
    """Return a value of every kind that was stored without a framework."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    return {
        "integer": 3,
        "boolean": True,
        "number": -0.5,
        "text": "größer",
        "bytes": b"\x00\xff",
        "texts": ["a", "b"],
        "numbers": [0.5, 0.25],
        "none": None,
        "large integer": 2**70,
        "infinite": float("inf"),
        "surrogate": "\ud800",
        "tuple": (1, (2.5, b"x"), [None]),
        "keys": {1: "a", "1": "b", b"1": [2], None: 3, 2.5: 4, 7: 5},
        "mark": {"@": "tuple", "of": [1]},
        "nested": {"a/b": array, "deep": [{"moment": np.ones(2)}], "lr": 0.1, "n": np.float32(2)},
        "array": array.T,
        "empty": np.zeros((2, 0), np.int16),
        "big-endian": np.arange(3, dtype=">i8"),
        "times": np.array(["2026-01-01", "NaT"], "datetime64[D]"),
        "characters": np.array(["a", "bc"]),
        "structure": np.array([(1, 2.0)], np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        "bfloat16": np.arange(3).astype(ml_dtypes.bfloat16),
        "float8": np.arange(3).astype(ml_dtypes.float8_e4m3fn),
        "progress": Progress(0.5, ["a", "b"]),
    }


def flower_values() -> dict[str, Any]:
    """Return records of Flower's own, which are stored as they are."""
    return {
        "metrics": MetricRecord({"loss": [0.5, 0.25]}),
        "config": ConfigRecord({"name": "a"}),
        "arrays": ArrayRecord([np.ones(2)]),
    }


def make_net() -> Any:
    """Return a small module with the same weights each time."""
    import torch

    torch.manual_seed(3)
    nn = torch.nn
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def torch_values() -> dict[str, Any]:
    """Return a value of every kind that was stored of PyTorch."""
    import torch

    net = make_net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.25)
    net(torch.ones(8, 4)).pow(2).sum().backward()
    optimizer.step()
    return {
        "net": net,
        "tensors": {"b": torch.arange(3), "a": torch.ones(2, dtype=torch.bfloat16)},
        "float8": {"t": torch.arange(3).to(torch.float8_e4m3fn)},
        "complex": {"t": torch.tensor([1 + 2j])},
        "optimizer": optimizer.state_dict(),
        "nested": {
            "epoch": 3,
            "moments": [torch.ones(2), torch.zeros(())],
            "p": (torch.ones(1),),
        },
    }


def make_contexts() -> dict[str, Context]:
    """Return a state after several commits, by name."""
    plain, torch_state = (Context(run, NODE, {}, RecordDict(), {}, 0) for run in RUNS)
    with open_state(_message(1, RUNS[0]), plain) as state:
        state.update(plain_values())
    with open_state(_message(2, RUNS[0]), plain) as state:
        state.update(flower_values())
        loss = state.history("loss")
        for number in range(ENTRIES):
            loss.append(number / 8, number)
        for number in range(10):
            state.history("bounded", limit=4).append(number)
    with open_state(_message(3, RUNS[0]), plain) as state:
        state["texts"] = ["a", "b"]
        state.history("loss").append(0.5)
    with open_state(_message(1, RUNS[1]), torch_state) as state:
        state.update(torch_values())
    return {"plain": plain, "torch": torch_state}


def _message(server_round: int, run_id: int) -> Message:
    content = RecordDict({"config": ConfigRecord({"server-round": server_round})})
    metadata = Metadata(
        run_id=run_id,
        message_id=f"message-{server_round}",
        src_node_id=1,
        dst_node_id=NODE,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=3600.0,
        message_type="train",
    )
    return Message(content=content, metadata=metadata)  # type: ignore[call-overload, no-any-return]


def main() -> None:
    """Write the archive, with modules that 0.1.0 had."""
    from importlib import import_module

    flower = "fedstate.flower"
    pack = import_module(f"{flower}.packed").SplitContext.pack
    encode_context = import_module(f"{flower}.supernode.codec").encode_context
    context_to_bytes = import_module(f"{flower}.wire").context_to_bytes
    register_progress()
    contexts = make_contexts()
    with TemporaryDirectory() as name, zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_LZMA) as archive:
        directory = Path(name) / "state"
        with closing(NodeStore(directory, key=None)) as store:
            for number, context in enumerate(contexts.values(), 1):
                run = StoredRun(context.run_id, number, "fab", None)
                empty = pack(Context(run.run_id, NODE, {}, RecordDict(), {}, number))
                store.add_run(run, Value(b"record"), Value(b"fab"), encode_context(empty))
                store.receive(f"m{number}", run.run_id, Value(b"message"))
                value = encode_context(pack(context))
                store.commit(f"m{number}", number, value, Value(b"reply"))
                store.answered(f"m{number}")
            back_up(directory, Path(name) / "backup")
        for context_name, context in contexts.items():
            archive.writestr(f"contexts/{context_name}", context_to_bytes(context))
        for file in sorted(directory.iterdir()):
            archive.write(file, f"state/{file.name}")
        archive.write(Path(name) / "backup", "backup")


if __name__ == "__main__":
    main()
