"""What is recorded of imports, and imported again: with modules made for each case."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedstate.executor import environment, imports
from fedstate.executor.import_report import ImportReport
from fedstate.executor.imports import Recorder, own_names
from fedstate.executor.replay import replay

Make = Callable[..., None]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Write modules: into the environment, or with the prefix ``own_`` into the app."""
    (tmp_path / "app").mkdir()
    (tmp_path / "environment").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "environment")])
    # However short an import was, it is worth a report.
    monkeypatch.setattr(imports, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(environment, "_replayed", environment._Replayed())
    monkeypatch.delenv("MODE", raising=False)
    before = set(sys.modules)

    def write(**modules: str) -> None:
        for name, text in modules.items():
            place = tmp_path / ("app" if name.startswith("own_") else "environment")
            file = place / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ImportReport]:
    """Import an app that has this line, and return the report."""

    def record(line: str) -> ImportReport:
        (tmp_path / "app" / "own_app.py").write_text(line)
        recorder = Recorder(tmp_path / "app")
        monkeypatch.setattr(sys, "path", [str(tmp_path / "app"), *sys.path])
        with (
            recorder.recording(),
            environment.noting(recorder.importing_others, recorder.changed),
        ):
            __import__("own_app")
        report = recorder.report()
        assert report is not None
        return report

    return record


Recorded = Callable[[str], ImportReport]


def names(report: ImportReport) -> list[str]:
    return [name for name, _ in report.modules]


def test_the_outermost_modules_are_reported_in_their_order(
    make: Make, recorded: Recorded
) -> None:
    make(first="import inner", inner="", second="", own_part="import third", third="")
    report = recorded("import second, first, own_part, json")
    assert names(report) == ["second", "first", "third"]
    assert report.left == ()
    assert report.own == {"own_app", "own_part"}


def test_a_module_that_cannot_be_imported_is_not_reported(make: Make, recorded: Recorded) -> None:
    make(
        broken="import inner\n1 / 0",
        inner="",
        mended="try:\n import missing\nexcept ImportError: 0",
    )
    report = recorded("try:\n import broken\nexcept Exception: pass\nimport mended")
    assert names(report) == ["inner", "mended"]


STARTING = {
    "starts a thread of Python": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()",
    "starts a process": "import subprocess\n"
    "process = subprocess.Popen(['cat'], stdin=subprocess.PIPE)",
    "makes a temporary file": "import tempfile\ndirectory = tempfile.TemporaryDirectory()",
    "opens a connection": "import socket\n"
    "with socket.create_server(('127.0.0.1', 0)) as server:\n"
    "    connection = socket.create_connection(server.getsockname())",
    "imports a module of the app": "import own_part",
}


@pytest.mark.parametrize("reason", STARTING)
def test_what_a_fork_would_share_or_lose_is_left_to_each_task(
    make: Make, recorded: Recorded, reason: str
) -> None:
    package = {
        "package/__init__": "import good\nimport package.bad\nimport package.after",
        "package/bad": STARTING[reason],
        "package/after": "",
    }
    make(**package, good="", own_part="")
    report = recorded("import package")
    try:
        assert names(report) == ["good"], "not package.after, which package comes before"
        assert report.left == (("package.bad", reason),)
    finally:
        bad = sys.modules["package.bad"]
        if process := getattr(bad, "process", None):
            process.communicate()
        if connection := getattr(bad, "connection", None):
            connection.close()
        if directory := getattr(bad, "directory", None):
            directory.cleanup()


def test_a_thread_that_ends_with_the_import_is_no_matter(make: Make, recorded: Recorded) -> None:
    """As matplotlib's, which says that its fonts take a while, if they do."""
    make(
        fonts="import threading\ntimer = threading.Timer(60, print)\ntimer.start()\n"
        "import inner\ntimer.cancel()",
        inner="",
        after="",
    )
    report = recorded("import fonts, after")
    assert (names(report), report.left) == (["fonts", "after"], ())
    del sys.modules["fonts"]
    done = replay(report)
    assert (done.left, done.fit) == ((), True)


def test_a_temporary_file_that_is_gone_again_is_no_matter(make: Make, recorded: Recorded) -> None:
    make(
        tidy="import subprocess, sys, tempfile\n"
        "with tempfile.TemporaryDirectory(), tempfile.NamedTemporaryFile(): pass\n"
        "subprocess.run([sys.executable, '-c', ''], check=True)"
    )
    assert names(recorded("import tidy")) == ["tidy"]


def test_what_the_app_sets_is_in_its_place(make: Make, recorded: Recorded) -> None:
    make(first="import os\nos.environ['OF_FIRST'] = '1'", second="")
    report = recorded(
        "import os\nos.environ['A'] = '1'\nimport first\nos.environ['A'] = '2'\nimport second\n"
        "del os.environ['A'], os.environ['OF_FIRST']"
    )
    variables = [(each.position, each.name, each.value) for each in report.environment]
    assert variables == [(0, "A", "1"), (1, "A", "2"), (2, "A", None), (2, "OF_FIRST", None)]


def test_nothing_is_reported_that_is_not_worth_it(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(first="", second="")
    recorder = Recorder(tmp_path / "app")
    with recorder.recording():
        __import__("first")
    monkeypatch.setattr(imports, "WORTH_SECONDS", 100.0)
    assert recorder.report() is None
    monkeypatch.setattr(imports, "WORTH_SECONDS", 0.0)
    with recorder.recording():
        __import__("second")
    report = recorder.report()
    assert report is not None
    assert names(report) == ["first", "second"], "together they may be"


def test_a_directory_without_modules_has_none_of_the_apps_names(tmp_path: Path) -> None:
    for name in ("torch", "package", "not a name"):
        (tmp_path / name).mkdir()
    for file in (
        "package/__init__.py",
        "module.py",
        "native.cpython-311.so",
        "data.csv",
        "x y.py",
    ):
        (tmp_path / file).touch()
    assert own_names(tmp_path) == {"package", "module", "native"}


def test_a_report_is_replayed_with_its_variables(make: Make) -> None:
    source = "import os\nmode = os.environ.get('MODE')"
    make(first=source, second=source)
    done = replay(
        ImportReport.from_json(
            {
                "modules": [["first", 1], ["second", 1]],
                "environment": [[0, "MODE", "1"], [1, "MODE", "2"]],
            }
        )
    )
    assert (done.left, done.fit) == ((), True)
    assert [sys.modules[name].mode for name in ("first", "second")] == ["1", "2"]
    assert "MODE" not in os.environ


def test_what_cannot_be_replayed_is_named_and_does_not_stop_the_rest(make: Make) -> None:
    make(needs="try:\n import own\nexcept Exception: own = None", broken="1 / 0", quits="exit(3)")
    make(good="")
    modules = [[name, 1] for name in ("needs", "broken", "quits", "missing", "good")]
    done = replay(ImportReport.from_json({"modules": modules, "own": ["own"]}))
    assert done.fit
    assert [name for name, _ in done.left] == ["needs", "broken", "quits", "missing"]
    assert "of which the app has one of its own" in done.left[0][1]
    assert "division by zero" in done.left[1][1]
    assert "good" in sys.modules
    assert not {"needs", "broken"} & sys.modules.keys()


def test_a_process_in_which_something_was_started_is_not_fit(make: Make) -> None:
    make(bad=STARTING["starts a thread of Python"], after="")
    done = replay(ImportReport.from_json({"modules": [["bad", 1], ["after", 1]]}))
    assert not done.fit
    assert done.left == (("bad", "starts a thread of Python"),)
    assert "after" not in sys.modules
