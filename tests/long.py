"""Run the long tests part by part: what `make test` runs smaller, or leaves out.

``make test-long`` runs all of them, one after the other; ``make test-long PART="soak keras"``
those that are named. A part that fails stops no other.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
# In any test it means that something hangs.
TEST_SECONDS = 3000


@dataclass(frozen=True)
class Part:
    """Tests that are run together.

    Attributes
    ----------
    what : str
        What is larger or longer than in `make test`.
    minutes : int
        How long it takes on two cores that do nothing else.
    tests : tuple of str
        Files and directories.
    variables : mapping of str to str
        The sizes that are asked for by a variable of their own.
    """

    what: str
    minutes: int
    tests: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


PARTS = {
    "examples": Part(
        "many more generated values, models and damages of what is stored",
        4,
        (
            *("tests/unit/state/test_fuzz.py", "tests/unit/state/test_kinds.py"),
            *("tests/unit/state/test_round_trip.py", "tests/unit/state/test_framework_values.py"),
            *("tests/unit/state/codecs/keras/test_model.py", "tests/unit/inspection"),
        ),
    ),
    "verify": Part(
        "200 runs of 10 nodes and 100 rounds are verified",
        3,
        ("tests/unit/verify/test_many_runs.py",),
        {"FEDSTATE_VERIFY_RUNS": "200"},
    ),
    "state": Part(
        "a state of 1 GB is committed and loaded in every round",
        4,
        ("tests/crash/test_large_state.py", "tests/crash/test_large_model.py"),
        {"FEDSTATE_STATE_MEGABYTES": "1000"},
    ),
    "soak": Part(
        "30 runs of 10 rounds, of which nothing is left",
        5,
        ("tests/crash/test_soak.py",),
        {"FEDSTATE_SOAK_RUNS": "30"},
    ),
    "endurance": Part(
        "500 messages of 50 runs leave nothing behind",
        4,
        ("tests/stack/executor/test_endurance.py",),
    ),
    "keras": Part(
        "Keras trains through kills, and in 300 processes",
        6,
        ("tests/crash/test_keras_kill.py", "tests/stack/executor/test_tensorflow.py"),
        {"FEDSTATE_TENSORFLOW_CHILDREN": "300"},
    ),
    "torch": Part(
        "PyTorch in rooms and in runs",
        3,
        ("tests/contract/test_torch.py", "tests/stack/processes/test_verify.py"),
    ),
    "stock": Part(
        "Flower's own SuperLink, SuperNode and simulation, beside ours",
        6,
        ("tests/crash/test_stock.py", "tests/contract/state", "tests/stack/test_simulation.py"),
    ),
    "doors": Part(
        "20,000 connections and 10,000 malformed messages",
        9,
        ("tests/stack/doors",),
    ),
    "hostile": Part(
        "every bomb, with and without root",
        9,
        ("tests/hostile",),
    ),
    "containers": Part(
        "restarts and kills of containers, and every bomb in them",
        15,
        (
            *("tests/stack/containers/test_runs.py", "tests/stack/containers/test_kills.py"),
            *(
                "tests/stack/containers/test_hostile.py",
                "tests/stack/containers/test_operators.py",
            ),
        ),
    ),
}


def run(part: Part) -> bool:
    """Run a part; return whether all of it passed."""
    environment = {
        **os.environ,
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FEDSTATE_SLOW": "1",
        **part.variables,
    }
    command = [sys.executable, "-m", "pytest", "-o", f"timeout={TEST_SECONDS}", "--durations=5"]
    return subprocess.run([*command, *part.tests], cwd=ROOT, env=environment).returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are named, or all; return the exit code."""
    parser = argparse.ArgumentParser(prog="make test-long", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="all of them, if none is named")
    parser.add_argument("--list", action="store_true", help="only say what each part is")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.parts if name not in PARTS]:
        parser.error(f"There is no part {unknown[0]!r}: it is one of {', '.join(PARTS)}.")
    chosen = {name: PARTS[name] for name in options.parts or PARTS}
    if options.list:
        for name, part in chosen.items():
            print(f"{name:<12}{part.minutes:>3} min  {part.what}")
        return 0
    told = []
    for name, part in chosen.items():
        print(f"\n=== {name}: {part.what}, about {part.minutes} minutes", flush=True)
        began = time.monotonic()
        passed = run(part)
        minutes = (time.monotonic() - began) / 60
        told.append(
            (name, passed, f"{name:<12}{'passed' if passed else 'FAILED'}{minutes:6.1f} min")
        )
    print("\n" + "\n".join(line for _, _, line in told))
    return 0 if all(passed for _, passed, _ in told) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
