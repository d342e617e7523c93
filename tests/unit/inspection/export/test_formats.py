"""A file's name says its format, unless somebody says it."""

from pathlib import Path

import pytest

from fedstate.inspection import InspectionError
from fedstate.inspection.export.formats import SUFFIXES, Format, format_of


@pytest.mark.parametrize(("suffix", "form"), SUFFIXES.items())
def test_each_suffix_is_a_format(suffix: str, form: Format) -> None:
    assert format_of(Path(f"a{suffix}")) is form
    assert format_of(Path(f"A{suffix.upper()}")) is form


def test_a_format_that_is_chosen_goes_before_the_name() -> None:
    assert format_of(Path("a.json"), Format.NPZ) is Format.NPZ
    assert set(SUFFIXES.values()) == set(Format)


@pytest.mark.parametrize("name", ["a", "a.h5", "a.txt"])
def test_a_name_that_says_nothing(name: str) -> None:
    with pytest.raises(InspectionError, match=f"The name of '{name}' does not say its format"):
        format_of(Path(name))


def test_keras_would_not_read_a_file_of_another_name() -> None:
    with pytest.raises(InspectionError, match=r"whose names end with .weights.h5, and 'a.h5'"):
        format_of(Path("a.h5"), Format.KERAS)
