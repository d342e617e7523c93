"""A job on NVIDIA FLARE's proof of concept: separate processes, mutual TLS, long-lived clients.

A program for the environment of `bench.peers`: it starts a server and clients, runs one job, and
prints the seconds of each round as JSON, and those from the start to the end of the first one.
"""

import argparse
import ast
import json
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from bench_app.task import make_model
from nvflare.app_common.np.recipes import NumpyFedAvgRecipe
from nvflare.recipe.poc_env import PocEnv

CLIENT = Path(__file__).with_name("nvflare_client.py")


def main() -> None:
    """Run the rounds and print how long they took."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--megabytes", type=float, required=True)
    arguments.add_argument("--nodes", type=int, required=True)
    arguments.add_argument("--rounds", type=int, required=True)
    arguments.add_argument("--seconds", type=float, required=True)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="nvflare-") as name:
        directory = Path(name)
        initial = directory / "initial.npy"
        weights = make_model(options.megabytes).get_weights()
        np.save(initial, np.concatenate([layer.ravel() for layer in weights]))
        recipe = NumpyFedAvgRecipe(
            name="bench",
            initial_ckpt=str(initial),
            min_clients=options.nodes,
            # The last one is not timed: a client does not see its end.
            num_rounds=options.rounds + 1,
            train_script=str(CLIENT),
            train_args=f"--megabytes {options.megabytes} --nodes {options.nodes} "
            f"--directory {directory}",
        )
        os.environ["NVFLARE_POC_WORKSPACE"] = str(directory / "poc")
        environment = PocEnv(num_clients=options.nodes)
        # NVFLARE prints to the standard output, where the result belongs.
        output, sys.stdout = sys.stdout, sys.stderr
        began = time.time()
        run = recipe.execute(environment)
        try:
            result = run.get_result(timeout=options.seconds)
        finally:
            environment.stop(clean_up=True)
        if result is None:
            raise SystemExit(f"NVFLARE's job ended as {run.get_status()}.")
        times = ast.literal_eval((directory / "site-1.times").read_text())[:-1]
    rounds = [after - before for before, after in pairwise(times)]
    json.dump({"rounds": rounds, "first": times[1] - began}, output)


if __name__ == "__main__":
    main()
