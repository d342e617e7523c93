"""Arbitrary Python objects: nested values as they are, types of one's own after registration."""

from dataclasses import asdict, dataclass, field

import numpy as np
from flwr.app import Context

from fedstate.state import register, state_of


@dataclass
class Progress:
    """What this client knows of its own training."""

    best_loss: float = 1.0
    labels_seen: set[int] = field(default_factory=set)


register(
    Progress,
    tag="guide.progress",
    encode=lambda progress: asdict(progress) | {"labels_seen": sorted(progress.labels_seen)},
    decode=lambda data: Progress(data["best_loss"], set(data["labels_seen"])),
)


def run(context: Context) -> None:
    """Print the objects, then change them in place."""
    state = state_of(context)
    progress = state.setdefault("progress", Progress())
    nested = state.setdefault("nested", {"steps": [], "moments": (np.zeros(2), b"")})
    print(f"{progress} {nested}")
    progress.best_loss /= 2
    progress.labels_seen.add(len(nested["steps"]))
    nested["steps"].append({"round": state.server_round})
    nested["moments"][0][:] += 1
