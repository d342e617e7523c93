"""What an app calls itself, read from bytes that a stranger has made."""

import contextlib
import io
import zipfile
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.superlink_in_process import PROJECT, fab

from fedstate.supernode.fab_names import (
    MAXIMUM_BYTES,
    AppName,
    UnreadableFabError,
    name_of,
)


def archive(members: Iterable[tuple[str, str]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as file:
        for name, text in members:
            file.writestr(name, text)
    return content.getvalue()


def test_a_fab_says_what_it_is() -> None:
    assert name_of(fab()) == AppName("fedstate/app", "1.0.0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "cannot be read"),
        (fab()[:-100], "cannot be read"),
        (archive([("app.py", "")]), "has 0 files pyproject.toml"),
        (archive([("pyproject.toml", PROJECT), ("./pyproject.toml", PROJECT)]), "has 2 files"),
        (archive([("pyproject.toml", PROJECT), ("PyProject.toml", PROJECT)]), "has 2 files"),
        (archive([("pyproject.toml", "[" * 100_000)]), "cannot be read"),
        (archive([("pyproject.toml", "# " * MAXIMUM_BYTES)]), "has more than 262144 bytes"),
        (archive([("pyproject.toml", PROJECT)], zipfile.ZIP_LZMA), "compressed in a way"),
        (archive([("pyproject.toml", "project = 1")]), "has no 'tool.flwr.app.publisher'"),
        (archive([("pyproject.toml", PROJECT.replace("1.0.0", ""))]), "has no 'project.version'"),
        (archive([("pyproject.toml", PROJECT.replace('"app"', "7"))]), "has no 'project.name'"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_fab_that_does_not_say_it_once_and_plainly_is_refused(
    content: bytes, message: str
) -> None:
    with pytest.raises(UnreadableFabError, match=message):
        name_of(content)


@given(st.binary(max_size=400), st.integers(0, 10_000))
def test_bytes_that_are_changed_are_read_or_refused(noise: bytes, place: int) -> None:
    content = fab()
    place %= len(content)
    changed = content[:place] + noise + content[place + len(noise) :]
    with contextlib.suppress(UnreadableFabError):
        name_of(changed)
