"""How tests are spread over workers: federations at two of them, the rest meanwhile."""

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import Scheduling, pytest_collection_modifyitems

TESTS = [
    "tests/unit/a/test_a.py::test_1",
    "tests/unit/a/test_a.py::test_2[tests/stack/x]",
    "tests/stack/test_logs.py::test_1",
    "tests/stack/containers/test_a.py::test_1",
    "tests/stack/containers/test_b.py::test_1",
    "tests/crash/test_soak.py::test_1",
]
CONTAINERS, LOGS, SOAK, UNIT = (
    *("tests/stack/containers/", "tests/stack/test_logs.py"),
    *("tests/crash/test_soak.py", "tests/unit/a/test_a.py"),
)


class Worker:
    """What the scheduling sees of a worker."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)

    def send_runtest_some(self, numbers: list[int]) -> None:
        """Take them."""


@pytest.fixture
def scheduling() -> Any:
    scheduling: Any = object.__new__(Scheduling)
    items: list[Any] = [SimpleNamespace(nodeid=each) for each in TESTS]
    pytest_collection_modifyitems(items)
    scheduling.workqueue = OrderedDict()
    scheduling.assigned_work = {}
    for item in items:
        scope = scheduling._split_scope(item.nodeid)
        scheduling.workqueue.setdefault(scope, {})[item.nodeid] = False
    return scheduling


def taken(scheduling: Any, name: str) -> str:
    worker = Worker(name)
    scheduling.registered_collections = {worker: TESTS}
    before = set(scheduling.workqueue)
    scheduling._assign_work_unit(worker)
    (unit,) = before - set(scheduling.workqueue)
    return str(unit)


def test_what_shares_a_federation_stays_together(scheduling: Any) -> None:
    assert list(scheduling.workqueue) == [CONTAINERS, LOGS, SOAK, UNIT]
    assert [len(unit) for unit in scheduling.workqueue.values()] == [2, 1, 1, 2]


def test_two_workers_begin_with_federations_and_others_with_what_calculates(
    scheduling: Any,
) -> None:
    assert [taken(scheduling, name) for name in ("gw0", "gw1", "gw2", "gw0")] == [
        *(CONTAINERS, LOGS, UNIT, SOAK)
    ]


def test_the_third_worker_helps_with_what_is_left(scheduling: Any) -> None:
    assert [taken(scheduling, "gw2") for _ in TESTS[2:]] == [UNIT, SOAK, LOGS, CONTAINERS]
