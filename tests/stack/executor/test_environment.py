"""What an app sets before its imports holds, on both sides, for a module that is preloaded."""

import json
from dataclasses import replace
from pathlib import Path

from tests.programs import PROGRAMS
from tests.stack.conftest import ROOT

from fedstate.local.federation import Federation
from fedstate.local.runs import start, wait_for_runs

APP = ROOT / "tests" / "apps" / "choosing"
EXECUTOR = ("fedstate", "executor", "--preload", "joblib")


def test_both_sides_of_an_app_get_what_they_choose(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    programs = replace(PROGRAMS, serverapp_executor=EXECUTOR, clientapp_executor=EXECUTOR)
    with Federation(tmp_path / "federation", nodes=1, programs=programs) as running:
        run_id = start(running, APP, {"result": str(result)})
        assert wait_for_runs(running, [run_id], 250) == {run_id: "finished:completed"}
    assert json.loads(result.read_text()) == {"client": False, "server": False}
