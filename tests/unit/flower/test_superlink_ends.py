"""What flwr's real state says of the ends of runs and tasks, in both of its kinds."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.common.constant import NOOP_FLWR_AID, SubStatus
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.date import now
from flwr.supercore.fab import Fab
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager

from fedstate.flower.superlink_app import IN_MEMORY_DATABASE
from fedstate.flower.superlink_ends import NOT_REPORTED, SuperLinkEnds

FAB = b"a FAB"
FAB_HASH = hashlib.sha256(FAB).hexdigest()


class Link:
    """A SuperLink's state, and runs in it, whose ServerApps have begun."""

    def __init__(self, database: str) -> None:
        objects = ObjectStoreFactory(database)
        self.factory = LinkStateFactory(database, NoOpFederationManager(), objects)
        self.state: Any = self.factory.state()
        self.state.store_fab(Fab(FAB_HASH, FAB, {}))
        self.ends = SuperLinkEnds(self.factory)

    def start(self) -> tuple[int, int]:
        """Start a run; return it and its task."""
        run_id = self.state.create_run(
            *("fedstate/app", "1.0.0", FAB_HASH, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID),
            TaskType.SERVER_APP,
        )
        (run,) = self.state.get_run_info(run_ids=[run_id])
        assert self.state.claim_task(run.primary_task_id)
        assert self.state.activate_task(run.primary_task_id)
        return int(run_id), int(run.primary_task_id)

    def ended(self, run_id: int, task_id: int) -> tuple[bool, bool]:
        """Return whether the run has ended, and its task otherwise than by its own report."""
        return self.ends.runs([run_id]) == {run_id}, self.ends.tasks([task_id]) == {task_id}


@pytest.fixture(params=["memory", "file"])
def link(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Link]:
    memory = request.param == "memory"
    link = Link(IN_MEMORY_DATABASE if memory else str(tmp_path / "link.db"))
    yield link
    if not memory:
        link.state._engine.dispose()


def test_a_run_goes_on_until_it_is_stopped(link: Link) -> None:
    run, other = link.start(), link.start()
    assert link.ended(*run) == (False, False)
    assert link.state.stop_run(run[0])
    assert link.ended(*run) == (True, True)
    assert link.ended(*other) == (False, False)


@pytest.mark.parametrize(
    ("status", "details"),
    [(SubStatus.COMPLETED, ""), (SubStatus.FAILED, "ServerApp failed with exception: no")],
)
def test_what_a_serverapp_reports_ends_its_run_and_it_is_left_to_end_itself(
    link: Link, status: str, details: str
) -> None:
    run = link.start()
    assert link.state.finish_task(run[1], status, details)
    assert link.ended(*run) == (True, False)


def test_a_serverapp_that_is_not_heard_of_any_longer_has_ended(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = link.start()
    late = now().replace(year=now().year + 1)
    for module in ("sql_corestate", "in_memory_corestate"):
        monkeypatch.setattr(f"flwr.supercore.corestate.{module}.now", lambda: late)
    assert link.ended(*run) == (True, True)
    (task,) = link.state.get_tasks(task_ids=[run[1]])
    assert task.status.details in NOT_REPORTED


def test_what_a_run_has_asked_for_ends_with_it(link: Link) -> None:
    run_id, task_id = link.start()
    model = link.state.create_task(TaskType.MODEL, run_id, requesting_task_id=task_id)
    assert link.state.finish_task(task_id, SubStatus.COMPLETED, "")
    assert link.ends.tasks([model]) == {model}


def test_what_is_not_known_has_no_run_and_no_task(link: Link) -> None:
    """A SuperLink with another database says nothing of the runs that it does not have."""
    assert link.ends.runs([4711]) == set()
    assert link.ends.tasks([4711]) == {4711}
