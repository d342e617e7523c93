"""The output of a node's runs is found below its state, and goes with it."""

import os
import time
from pathlib import Path

import pytest

from fedstate.errors import SettingError
from fedstate.logs.run_files import RunFile, outputs_in
from fedstate.supernode.output import delete_strays, output_of, place_output


def test_it_is_below_the_state_or_a_link_there(tmp_path: Path) -> None:
    state, elsewhere = tmp_path / "state", tmp_path / "output"
    state.mkdir()
    assert place_output(state, None) == state / "output"
    for directory in (elsewhere, tmp_path / "other", elsewhere):
        assert place_output(state, directory) == directory
        assert output_of(state).resolve() == directory
    assert place_output(state, None) == state / "output"
    assert output_of(state).resolve() == elsewhere, "what is there is used again"


def test_what_is_in_the_way_stays(tmp_path: Path) -> None:
    RunFile(place_output(tmp_path, None), 7)
    with pytest.raises(SettingError, match="is in the way"):
        place_output(tmp_path, tmp_path / "elsewhere")
    assert outputs_in(output_of(tmp_path)).keys() == {7}


def test_what_has_no_state_any_longer_is_deleted(tmp_path: Path) -> None:
    for run_id in (1, 2, 3):
        RunFile(tmp_path, run_id).end()
    old = time.time() - 7200
    for run_id in (1, 2):
        os.utime(tmp_path / f"{run_id}.log", (old, old))
    assert delete_strays(tmp_path, {1}) == [2]
    assert outputs_in(tmp_path).keys() == {1, 3}
    assert delete_strays(tmp_path / "none", set()) == []
