"""How the suite is spread over workers, and that no test leaves errors in a federation's logs."""

import re
from collections.abc import Generator, Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests.federation_logs import MARKER, LogWatch
from tests.open_directory import open_directory

# Federations mostly wait, and other tests calculate meanwhile. Two workers begin with what is
# first here, and there with what takes longest, so that none is left alone with it at the end;
# others begin with the last.
FEDERATIONS_AT_ONCE = 2
ORDER = ("tests/stack/containers/", "tests/stack/", "tests/crash/", "tests/contract/", "tests/")

# A federation belongs to a directory of these, and elsewhere to a file.
SHARING = re.compile(r"tests/stack/\w+/|tests/[^:]+")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """Gives the tests that share a federation to one worker, in their order."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if int(node.gateway.id.removeprefix("gw")) >= FEDERATIONS_AT_ONCE:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        found = SHARING.match(nodeid)
        return found[0] if found else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Return the scheduling for `--numprocesses`."""
    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest."""
    items.sort(key=lambda item: _first(ORDER, item.nodeid))


def _first(prefixes: tuple[str, ...], nodeid: str) -> int:
    return next(place for place, prefix in enumerate(prefixes) if nodeid.startswith(prefix))


LOGS = pytest.StashKey[LogWatch]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Fail where a federation logged an unexpected error, also while it was stopped."""
    own = getattr(item, "funcargs", {}).get("tmp_path")
    yield
    if LOGS not in item.config.stash:
        factory = item.config._tmp_path_factory  # type: ignore[attr-defined]
        item.config.stash[LOGS] = LogWatch(factory.getbasetemp())
    watch = item.config.stash[LOGS]
    allowed = [pattern for mark in item.iter_markers(MARKER) for pattern in mark.args]
    unexpected = watch.unexpected(allowed)
    if own is not None:
        watch.leave(own)
    if nextitem is None or nextitem.path.parent != item.path.parent:
        watch.leave_all()  # no federation is shared any further
    failed = any(report.failed for report in item.stash.get(REPORTS, []))
    if unexpected and not failed:
        pytest.fail("Unexpected errors in the federation's logs:\n" + "\n".join(unexpected))


@pytest.fixture(scope="session", autouse=True)
def _open() -> None:
    """Let the apps of every executor write where tests can read it."""
    open_directory()


REPORTS = pytest.StashKey[list[pytest.TestReport]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep how a test ended: one that failed need not fail for its logs as well."""
    report = yield
    item.stash.setdefault(REPORTS, []).append(report)
    return report
