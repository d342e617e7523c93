"""What is left of a federation in which a run failed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench.federations import _keep_logs


def test_its_logs_outlive_it_and_its_keys_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here: Any = SimpleNamespace(directory=tmp_path / "gone" / "stock-3")
    for name in ("superlink/log", "node-1/executor/log", "node-1/node.key"):
        file = here.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    kept = _keep_logs(here)
    found = {str(file.relative_to(kept)) for file in kept.rglob("*") if file.is_file()}
    assert found == {"superlink/log", "node-1/executor/log"}
    assert (kept / "superlink/log").read_text() == "superlink/log"
