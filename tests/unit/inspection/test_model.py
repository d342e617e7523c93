"""The function that makes an app's model is found, or what is wrong with it is said."""

from pathlib import Path

import pytest

from fedstate.inspection import InspectionError
from fedstate.inspection.model import made_by

MODULE = """
def load():
    return "a model"

def needs(argument):
    pass

value = 3
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_test_app.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_function_of_this_directory() -> None:
    assert made_by("my_test_app:load") == "a model"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_test_app", "--model is 'my_test_app'; give MODULE:FUNCTION"),
        ("no_such_app:load", "--model no_such_app:load is not there: No module named"),
        ("my_test_app:none", "--model my_test_app:none is not there: .* no attribute 'none'"),
        ("my_test_app:needs", "cannot be called without arguments, or fails: TypeError"),
        ("my_test_app:value", "cannot be called without arguments, or fails: TypeError"),
    ],
)
def test_a_mistake_is_one_sentence(name: str, message: str) -> None:
    with pytest.raises(InspectionError, match=message):
        made_by(name)
