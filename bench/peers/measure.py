"""Rounds on NVIDIA FLARE and on ours, in turns: the same model, data and training."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import cast

from bench import limit
from bench.federations import APP, OURS, federation, run
from bench.row import Row
from fedstate.errors import FederationError
from fedstate.local.execute import execute

NVFLARE = "nvflare==2.9.0"
# What trains, in the versions of our own environment.
_TRAINING = ("keras", "numpy", "scikit-learn", "tensorflow-cpu")
ENVIRONMENT = Path(".venv-peers")
NODES = 3
JOB_SECONDS = 900.0
_ROUNDS = Path(__file__).with_name("nvflare_rounds.py")


def rows() -> Iterator[Row]:
    """Measure both in turns, and yield rows for each size; `QUICK=1` takes the smallest alone."""
    quick = bool(os.environ.get("QUICK"))
    python = _environment()
    turns = 1 if quick else 2
    first: dict[str, list[float]] = {"ours": [], "nvflare": []}
    for megabytes in (0.1,) if quick else (0.1, 10.0, 100.0):
        seconds: dict[str, list[float]] = {"ours": [], "nvflare": [], "training": []}
        for _ in range(turns):
            for name, done in (
                ("nvflare", _nvflare(python, megabytes, rounds=3)),
                ("ours", _ours(megabytes, rounds=3)),
            ):
                # The first round of each builds its processes: it is a row of its own.
                seconds[name] += done[1:]
                if megabytes == 0.1:
                    first[name].append(done[0])
            seconds["training"] += limit.rounds(NODES, 2, megabytes)
        what = f"seconds per round, model of {megabytes:g} MB, against"
        ours = median(seconds["ours"])
        yield Row(f"{what} NVIDIA FLARE", ours, median(seconds["nvflare"]), 1.0, "s")
        alone = median(seconds["training"])
        yield Row(
            f"{what} training alone", ours, alone, 1.25 if megabytes == 100.0 else None, "s"
        )
    yield Row(
        "start to the end of the first round, against NVIDIA FLARE",
        median(first["ours"]),
        median(first["nvflare"]),
        None,
        "s",
    )


def _ours(megabytes: float, rounds: int) -> list[float]:
    """Return the seconds from our start to the first round's end, then those of more rounds."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        # As on a machine for each node: nothing that one imported is shared with another.
        begun = time.time()
        with federation(OURS, NODES, Path(directory), execute) as here:
            done = run(here, OURS, rounds=rounds + 1, megabytes=megabytes)
    return [done.ended[1] - begun, *done.rounds[1:]]


def _nvflare(python: Path, megabytes: float, rounds: int) -> list[float]:
    command = [str(python), str(_ROUNDS), "--nodes", str(NODES), "--rounds", str(rounds + 1)]
    command += ["--megabytes", str(megabytes), "--seconds", str(JOB_SECONDS)]
    environment = {**os.environ, "PYTHONPATH": str(APP.absolute()), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        done = subprocess.run(
            command,
            env=environment | {"HOME": home},
            capture_output=True,
            text=True,
            check=False,
            timeout=JOB_SECONDS + 120,
        )
    if done.returncode:
        raise FederationError(f"NVIDIA FLARE's job failed: {done.stderr[-2000:]}")
    result = json.loads(done.stdout.splitlines()[-1])
    return cast("list[float]", [result["first"], *result["rounds"][1:]])


def _environment() -> Path:
    """Return the Python of the peers' environment, which is made if it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    made = ENVIRONMENT / "ok"
    if not made.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        packages = [NVFLARE, *(f"{name}=={version(name)}" for name in _TRAINING)]
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--no-compile", *packages],
            check=True,
        )
        made.touch()
    return python.absolute()
