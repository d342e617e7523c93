"""The limit: the same training in one Python process, with no federation around it."""

import json
import subprocess
import sys
import time
from pathlib import Path

from bench.federations import APP


def rounds(nodes: int, count: int, megabytes: float) -> list[float]:
    """Return the seconds that each of `count` rounds takes, in a process that has warmed up."""
    arguments = [str(nodes), str(count), str(megabytes)]
    answer = subprocess.run(
        [sys.executable, "-m", "bench.limit", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    return [float(each) for each in json.loads(answer.stdout)]


def _measure(nodes: int, count: int, megabytes: float) -> list[float]:
    sys.path.insert(0, str(APP))
    from bench_app.task import average, make_model, train

    weights = make_model(megabytes).get_weights()
    seconds = []
    # The first round is the warm-up.
    for _ in range(count + 1):
        began = time.perf_counter()
        results = [train(weights, megabytes, part, nodes)[0] for part in range(nodes)]
        weights = average(results)
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))  # noqa: T201
