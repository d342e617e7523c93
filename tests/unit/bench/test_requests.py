"""What a round costs is what a long run has more requests than a short one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench import requests
from bench.federations import OURS


def test_what_a_run_begins_and_ends_with_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = [tmp_path / name for name in ("link", "node-1", "node-2", "node-3")]
    here: Any = SimpleNamespace(
        superlink=SimpleNamespace(log_file=logs[0]),
        nodes=[SimpleNamespace(supernode=SimpleNamespace(log_file=each)) for each in logs[1:]],
    )
    for each in logs:
        each.write_text("")

    def run(_: object, __: object, *, rounds: int) -> None:
        for number, log in enumerate(logs):
            with log.open("a") as file:
                print('DEBUG: 1.2.3.4:5 - "POST /v1/control/start-run HTTP/1.1" 200', file=file)
                for _ in range(rounds * (2 if number else 3)):
                    print('"POST /v1/fleet/take-message HTTP/1.1" 200', file=file)

    monkeypatch.setattr(requests, "run", run)
    link, node = requests._counted(here, OURS)
    assert link == {"/v1/control/start-run": 0, "/v1/fleet/take-message": 3}
    assert node == {"/v1/control/start-run": 0, "/v1/fleet/take-message": 2}
