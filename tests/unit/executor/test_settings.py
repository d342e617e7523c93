"""Which variables an app's sources set."""

from pathlib import Path

import pytest

from fedstate.executor.settings import settings_in

UNKNOWN = object()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("os.environ['A'] = '1'", [("A", "1")]),
        ("environ['A'] = '1'", [("A", "1")]),
        ("def f():\n    if x:\n        os.environ['A'] = '1'", [("A", "1")]),
        ("class C:\n    os.environ['A']: str = '1'", [("A", "1")]),
        ("os.environ['A'] = os.environ['B'] = '1'", [("A", "1"), ("B", "1")]),
        ("os.environ['A'], x = '1', 2", [("A", UNKNOWN)]),
        ("os.environ['A'] = str(1)", [("A", UNKNOWN)]),
        ("os.environ[name] = '1'", [(None, "1")]),
        ("os.environ['A'] += '1'", [("A", UNKNOWN)]),
        ("os.environ.setdefault('A', '1')", [("A", "1")]),
        ("os.environ.update({'A': '1'}, B='2')", [("A", "1"), ("B", "2")]),
        ("os.environ.update({'A': '1', **more})", [("A", "1"), (None, UNKNOWN)]),
        ("os.environ.update(more)", [(None, UNKNOWN)]),
        ("os.environ |= {'A': '1'}", [("A", "1")]),
        ("os.environ |= more", [(None, UNKNOWN)]),
        ("os.environb[b'A'] = b'1'", [("A", "1")]),
        ("del os.environ['A']", [("A", None)]),
        ("os.environ.pop('A', None)", [("A", None)]),
        ("os.environ.clear()", [(None, UNKNOWN)]),
        ("os.putenv('A', '1')", [("A", "1")]),
        ("putenv('A', '1')", [("A", "1")]),
        ("os.unsetenv('A')", [("A", None)]),
        ("for os.environ['A'] in 'xy': pass", [("A", UNKNOWN)]),
        ("with x as os.environ['A']: pass", [("A", UNKNOWN)]),
        ("dotenv.load_dotenv()", [(None, UNKNOWN)]),
        ("from dotenv import load_dotenv\nload_dotenv('x')", [(None, UNKNOWN)]),
        ("print(os.environ['A'], os.environ.get('B'))", []),
        ("env = dict(os.environ)\nenv['A'] = '1'", []),
        ("# os.environ['A'] = '1'", []),
        ("os.environ['A' = '1'", []),
        ("environ = 'A'\x00", []),
    ],
)
def test_every_way_of_setting_a_variable_is_found(
    tmp_path: Path, source: str, found: list[tuple[str | None, object]]
) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "app.py").write_text(source)
    settings = list(settings_in(tmp_path))
    assert [(each.name, each.value if each.known else UNKNOWN) for each in settings] == found


def test_a_setting_says_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\n\nos.environ['A'] = '1'\nos.environ.clear()")
    assert [str(each) for each in settings_in(tmp_path)] == [
        "A (app.py, line 3)",
        "variables (app.py, line 4)",
    ]


def test_a_file_that_cannot_be_read_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    (tmp_path / "directory.py").mkdir()
    assert list(settings_in(tmp_path)) == []
