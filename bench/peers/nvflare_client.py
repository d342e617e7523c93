"""The client of NVIDIA FLARE: one long-lived process for all rounds, its state in a file.

It runs in the environment of `bench.peers`, where there is no fedstate: with NVFLARE's Client
API, as its guides have it, and with the training of `bench_app.task`.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import nvflare.client as flare
from bench_app.task import make_model, train

# What NVFLARE's persistor for NumPy calls the one array of a model.
KEY = "numpy_key"


def main() -> None:
    """Train whenever the server asks, and note when each round reached this client."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--megabytes", type=float)
    arguments.add_argument("--nodes", type=int)
    arguments.add_argument("--directory", type=Path)
    options = arguments.parse_args()
    flare.init()
    name = flare.get_site_name()
    part = int(name.rpartition("-")[2]) - 1
    shapes = [layer.shape for layer in make_model(options.megabytes).get_weights()]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    state = options.directory / f"{name}.npz"
    losses: list[float] = []
    times: list[float] = []
    while flare.is_running():
        received = flare.receive()
        if received is None:
            break
        times.append(time.time())
        flat = np.split(np.asarray(received.params[KEY], np.float32), ends[:-1])
        weights = [layer.reshape(shape) for layer, shape in zip(flat, shapes, strict=True)]
        weights, loss = train(weights, options.megabytes, part, options.nodes)
        losses.append(loss)
        # What the client remembers, as the ClientApp of the bench does.
        np.savez(state, *weights, losses=np.array(losses))
        vector = np.concatenate([layer.ravel() for layer in weights])
        flare.send(flare.FLModel(params={KEY: vector}, params_type="FULL"))
        (options.directory / f"{name}.times").write_text(repr([*times, time.time()]))


if __name__ == "__main__":
    main()
