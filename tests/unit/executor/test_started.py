"""What is noticed of what code starts."""

import subprocess
import sys
import threading

import pytest

from fedstate.executor.started import Started, children, lasting


def test_nothing_is_noticed_where_nothing_happens() -> None:
    started = Started()
    assert started.look() is None


def test_a_thread_is_noticed_once() -> None:
    started, end = Started(), threading.Event()
    threads = [threading.Thread(target=end.wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert set(started.threads()) == set(threads)
        assert started.look() is None, "these are not of a library"
        assert started.threads() == []
        assert lasting(threads[0])
    finally:
        end.set()
    assert not lasting(threads[0])
    assert not lasting(threads[1])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import numpy", "None"),
        ("import sklearn.datasets", "None"),
        (
            "import _thread, time; _thread.start_new_thread(time.sleep, (60,))",
            "starts a thread of a library",
        ),
    ],
)
def test_threads_of_libraries_are_noticed_but_those_that_a_fork_renews(
    code: str, said: str
) -> None:
    script = (
        "from fedstate.executor.started import Started\n"
        f"started = Started()\n{code}\nprint(started.look())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert said in done.stdout


def test_child_processes_are_counted() -> None:
    before = children()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert children() == before + 1
        process.communicate()
    assert children() == before
