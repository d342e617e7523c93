"""How the app of a task is loaded: warm, fresh, and with the environment that it has on stock."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stack.executor.conftest import Node
from tests.unit.executor.tasks import Room, Rooms, app

from fedstate.executor import bare
from fedstate.executor.loading import needs_bare
from fedstate.flower.errors import ErrorCode
from fedstate.forking.ending import Ending

WELL, FAILED = Ending(0), Ending(1)
EVENTS = ["started", "pulled", "replied", "finished"]
RECORDED = ["started", "imported", *EVENTS[1:]]
BARE = ["started", "bare", *EVENTS[1:]]
BARE_RECORDED = ["started", "bare", "imported", *EVENTS[1:]]

# Modules beside those that are installed; each takes long enough for its import to be worth a
# report.
LIBRARIES = {
    "slow_library": """
        import os, random, time
        pid, mode = os.getpid(), os.environ.get("SLOW_MODE")
        time.sleep(0.25)
    """,
    "second_library": """
        import os, time
        pid, mode = os.getpid(), os.environ.get("SLOW_MODE")
        time.sleep(0.25)
    """,
    "threaded_library": """
        import slow_library
        from threaded_inner import thread
    """,
    "threaded_inner": """
        import threading, time
        thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)
        thread.start()
    """,
    "helper": "whose = 'installed'",
    "asking_library": """
        import time
        time.sleep(0.25)
        try:
            import helper
        except ImportError:
            helper = None
    """,
}


def dedented(text: str) -> str:
    return "\n".join(line.removeprefix("        ") for line in text.splitlines()) + "\n"


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    libraries = tmp_path_factory.mktemp("libraries")
    for name, text in LIBRARIES.items():
        (libraries / f"{name}.py").write_text(dedented(text))
    node = Node()
    yield Rooms(node, tmp_path_factory.mktemp("home"), libraries)
    node.stop()


@pytest.fixture(scope="module")
def plain(rooms: Rooms) -> Iterator[Room]:
    """A room as the fork server leaves it, with a preloaded module of its own."""
    with rooms.room("numpy.random", "second_library") as room:
        yield room


STATE = """
import os, random, tempfile, uuid
import numpy as np
import slow_library
counter = [0]
directory = tempfile.mkdtemp()
generators = random.Random(), np.random.default_rng(), np.random.RandomState()
identity = uuid.uuid4().hex, uuid.uuid1().hex

def count():
    counter[0] += 1
    return counter[0]

def draws():
    return [
        random.random(), float(np.random.rand()), generators[0].random(),
        float(generators[1].random()), float(generators[2].rand()), *identity, directory,
        next(tempfile._get_candidate_names()), uuid.uuid4().hex,
    ]
"""


def test_what_is_global_in_an_app_is_fresh_for_each_message_of_a_warm_room(
    rooms: Rooms, plain: Room
) -> None:
    run = rooms.run(app(STATE))
    asked = {"count": "count()", "draws": "draws()", "pid": "slow_library.pid"}
    first = plain.ask(run, **asked)
    assert first.names == RECORDED
    assert first.answer["pid"] == first.pid
    assert [name for name, _ in first.report.modules] == ["slow_library"]
    assert first.report.seconds >= 0.25
    with rooms.room("numpy.random", report=first.report) as warm:
        later = [warm.ask(run, **asked) for _ in range(2)]
    for done in later:
        assert done.names == EVENTS, "there is nothing that is worth a second report"
        assert done.answer["pid"] != done.pid
    assert [done.answer["count"] for done in (first, *later)] == [1, 1, 1]
    for drawn in zip(*(done.answer["draws"] for done in (first, *later)), strict=True):
        assert len(set(drawn)) == 3, drawn


def test_what_functions_import_is_warm_for_the_next_message(rooms: Rooms, plain: Room) -> None:
    run = rooms.run(app())
    asked = {"pid": "__import__('slow_library').pid"}
    first = plain.ask(run, **asked)
    assert first.names == ["started", "pulled", "imported", "replied", "finished"]
    with rooms.room(report=first.report) as warm:
        second = warm.ask(run, **asked)
    assert second.names == EVENTS
    assert second.answer["pid"] != second.pid


def test_what_functions_import_after_they_have_set_a_variable_is_not(
    rooms: Rooms, plain: Room
) -> None:
    run = rooms.run(app())
    asked = {"pid": "os.putenv('WANDB_MODE', 'offline') or __import__('slow_library').pid"}
    done = plain.ask(run, **asked)
    assert done.names == EVENTS
    assert done.answer["pid"] == done.pid


def test_a_module_that_starts_a_thread_is_left_to_each_message(rooms: Rooms, plain: Room) -> None:
    run = rooms.run(app("import threaded_library"))
    asked = {
        "pid": "threaded_library.slow_library.pid",
        "alive": "threaded_library.thread.is_alive()",
    }
    report = plain.ask(run, **asked).report
    assert [name for name, _ in report.modules] == ["slow_library"]
    assert report.left == (("threaded_inner", "starts a thread of Python"),)
    with rooms.room(report=report) as warm:
        done = warm.ask(run, **asked)
    assert done.answer == {"pid": done.answer["pid"], "alive": True}
    assert done.answer["pid"] != done.pid


@pytest.mark.parametrize(
    "before",
    [
        "import os\nos.environ['SLOW_MODE'] = 'fast'",
        "from os import environ as e\ne.update(SLOW_MODE='fast')\nimport os\n#environ.update(x)",
        "import os\n\ndef late():\n    os.environ['SLOW_MODE'] = 'fast'\nlate()",
    ],
    ids=["statement", "under another name", "function"],
)
def test_what_an_app_sets_holds_for_what_was_preloaded(
    rooms: Rooms, plain: Room, before: str
) -> None:
    run = rooms.run(app(f"{before}\nimport second_library"))
    asked = {"mode": "second_library.mode", "modules": "'slow_library' in sys.modules"}
    done = plain.ask(run, **asked)
    assert done.names == BARE_RECORDED
    assert done.answer == {"mode": "fast", "modules": False}
    assert done.bare is not None
    assert "The app sets SLOW_MODE" in done.bare
    assert done.ending == WELL


def test_a_function_that_sets_a_variable_before_it_imports_has_it_too(
    rooms: Rooms, plain: Room
) -> None:
    after = "\ndef late():\n    os.environ['SLOW_MODE'] = 'late'\n    import second_library\n"
    run = rooms.run(app("", f"{after}    return second_library.mode\n"))
    done = plain.ask(run, mode="late()")
    assert done.answer == {"mode": "late"}
    assert done.names == BARE


def test_the_room_of_such_an_app_is_bare_and_warm(rooms: Rooms, plain: Room) -> None:
    before = (
        "import os\nearlier = os.environ.get('SLOW_MODE')\nos.environ['SLOW_MODE'] = 'fast'\n"
    )
    run = rooms.run(app(f"{before}import second_library"))
    asked = {"mode": "second_library.mode", "pid": "second_library.pid", "before": "earlier"}
    report = plain.ask(run, **asked).report
    with rooms.room(report=report, bare=True) as warm:
        done = warm.ask(run, **asked)
    assert done.names == EVENTS
    assert done.answer["pid"] != done.pid
    assert done.answer["mode"] == "fast"
    assert done.answer["before"] is None, "the app finds its environment as on stock"


def test_a_value_that_is_another_each_time_is_that_of_each_message(
    rooms: Rooms, plain: Room
) -> None:
    before = "import os, uuid\nos.environ['SLOW_MODE'] = uuid.uuid4().hex\nimport second_library"
    run = rooms.run(app(before))
    asked = {"as set": "second_library.mode == os.environ['SLOW_MODE']"}
    report = plain.ask(run, **asked).report
    with rooms.room(report=report, bare=True) as warm:
        done = warm.ask(run, **asked)
    assert done.answer == {"as set": True}
    assert [each["cold"] for each in done.events if each["event"] == "bare"] == [True]


def test_a_variable_that_is_not_set_this_time_is_not_that_of_the_first_message(
    rooms: Rooms, plain: Room, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    before = f"""
import os, pathlib
if not pathlib.Path({str(once)!r}).exists():
    pathlib.Path({str(once)!r}).touch()
    os.environ['SLOW_MODE'] = 'once'
import second_library
"""
    run = rooms.run(app(before))
    report = plain.ask(run, mode="second_library.mode").report
    # What was executed anew found the file of its first execution, if the sources were not read
    # before.
    assert [each.value for each in report.environment] == ["once"]
    with rooms.room(report=report, bare=True) as warm:
        done = warm.ask(run, mode="second_library.mode")
    assert done.answer == {"mode": None}


@pytest.mark.parametrize("value", ["'3'", "str(4)"])
def test_a_variable_that_changes_nothing_leaves_the_task_warm(
    rooms: Rooms, plain: Room, value: str
) -> None:
    run = rooms.run(app(f"import os\nos.environ['TF_CPP_MIN_LOG_LEVEL'] = {value}"))
    done = plain.ask(run, modules="'second_library' in sys.modules")
    assert done.names == EVENTS
    assert done.answer == {"modules": True}


def test_a_module_of_the_app_comes_before_a_preloaded_one(rooms: Rooms, plain: Room) -> None:
    run = rooms.run(app("import second_library", second_library="mode = 'own'\n"))
    done = plain.ask(run, mode="second_library.mode")
    assert done.answer == {"mode": "own"}
    assert done.names == BARE


def test_a_module_of_the_app_is_not_taken_from_elsewhere_in_a_room(
    rooms: Rooms, plain: Room
) -> None:
    before = "import helper, asking_library"
    run = rooms.run(app(before, helper="whose = 'own'\n"))
    asked = {"whose": "[helper.whose, asking_library.helper.whose]"}
    first = plain.ask(run, **asked)
    assert first.answer == {"whose": ["own", "own"]}
    with rooms.room(report=first.report) as warm:
        assert warm.ask(run, **asked).answer == {"whose": ["own", "own"]}


def test_a_task_that_goes_on_in_a_bare_interpreter_shows_its_token_to_nobody(
    rooms: Rooms, plain: Room
) -> None:
    quiet, loud = (
        rooms.run(app(f"import os\nos.environ['{name}'] = 'x'"))
        for name in ("HF_HOME", "SLOW_MODE")
    )
    asked = {
        "command": "open('/proc/self/cmdline').read()",
        "environment": "open('/proc/self/environ').read() + str(os.environ)",
        "descriptors": "descriptors()",
        "inherited": "[each for each in descriptors() if os.get_inheritable(each)]",
    }
    done = plain.ask(loud, **asked)
    assert done.names == BARE
    assert done.token not in done.answer["command"]
    assert done.token not in done.answer["environment"]
    assert done.answer["inherited"] == []
    assert not any("memfd" in each for each in done.answer["descriptors"].values())
    before = plain.ask(quiet, **asked).answer["descriptors"]
    assert len(done.answer["descriptors"]) == len(before)


@pytest.mark.parametrize("first", ["", "import os\nos.environ['SLOW_MODE'] = 'x'"])
def test_an_app_that_cannot_be_imported_is_answered_with_what_it_raised(
    rooms: Rooms, plain: Room, first: str
) -> None:
    run = rooms.run(app(f"{first}\nimport no_such_module"))
    done = plain.ask(run, "tell")
    assert done.ending == FAILED
    assert done.error == (
        ErrorCode.CLIENT_APP_RAISED,
        "<class 'ModuleNotFoundError'>:<'No module named 'no_such_module''>",
    )
    assert done.names[-3:] == EVENTS[1:]


def test_the_state_of_the_client_goes_through_a_bare_interpreter(
    rooms: Rooms, plain: Room
) -> None:
    """Large arrays, too, which travel beside the rest."""
    run = rooms.run(app("import os\nos.environ['SLOW_MODE'] = 'x'"))
    for number in (1, 2):
        done = plain.ask(run, "keep", bytes=1_000_000)
        assert done.names == BARE
        assert rooms.node.steps(run) == number
    assert len(rooms.node.state_of(run).array_records["kept"]) == 1


def test_nothing_is_too_late_in_a_bare_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text("import os\nos.environ['SLOW_MODE'] = 'x'\n")
    reason = needs_bare(tmp_path, installs=False)
    assert reason == (
        "The app sets SLOW_MODE (app.py, line 2): nothing is preloaded for its tasks."
    )
    monkeypatch.setattr(bare, "_bare", [True])
    assert needs_bare(tmp_path, installs=False) is None
