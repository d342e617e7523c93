"""A small world around real `Steps`: ServerApps, a SuperLink, ClientApps, a store, and faults.

Everything that is not `Steps`, its machine, its turns and its actions is a model here, on one
thread: the pool is a list of jobs, and whoever walks this world chooses which of them runs next,
what the SuperLink answers, when a disk is full and when the SuperNode is killed. A kill leaves
what the store had at that moment, and nothing else.

The world raises `BrokenError` as soon as a promise is broken, and `drain` raises it if something
is left waiting when the faults have stopped.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

from flwr.app import Error
from tests.unit.supernode.model import SERIES, BrokenError, Jobs, Killed, Memory, promise
from tests.unit.supernode.servers import Asked, Choose, Servers

from fedstate.flower.errors import ErrorCode
from fedstate.large.context import SplitContext
from fedstate.large.wire import LargeArrays
from fedstate.supernode.machine import Stage
from fedstate.supernode.step import Step
from fedstate.supernode.steps import Steps

CONCURRENCY = 2


class World(Servers):
    """What the steps of one node live in, and the node itself.

    Parameters
    ----------
    choose : callable
        Picks one of several options; everything that is left to chance goes through it.
    """

    def __init__(self, choose: Choose) -> None:
        super().__init__(choose)
        # The note that a message may be on its way, which survives a kill.
        self.pulling = False
        self.attempts = 0
        self.seen: list[tuple[Step, int]] = []
        self.steps: Steps | None = None
        self.start()

    # The SuperNode as a process.

    def start(self) -> None:
        """Start a SuperNode, which resumes what the last one left."""
        self.jobs, self.memory = Jobs(), Memory(self.disk)
        self.seen.clear()
        if self.pulling and self.receiving is not None:
            # Its answer may be half sent, and the store did not have room to keep it: after three
            # minutes the ServerApp waits for the rest no longer, and sends the message again.
            asked = self.asked[self.receiving]
            if asked.half or asked.half_taken:
                asked.half, asked.reply, asked.half_taken, asked.owed = False, None, None, True
                asked.at = "absent"
        self.receiving = None
        self.steps = Steps(
            self.memory,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            admission=self,  # type: ignore[arg-type]
            concurrency=CONCURRENCY,
            on_change=lambda: None,
            pool=self.jobs,  # type: ignore[arg-type]
            retry_seconds=0.0,
        )
        self.hand_out_again()
        self.pulling = False
        self._alive(self.steps.resume)

    def hand_out_again(self) -> None:
        """Let what may be lost be pulled by the SuperNode that starts."""
        if not self.pulling:
            return
        # It goes offline for a moment, and every ServerApp sends again what it waits for.
        for asked in self.asked.values():
            if asked.at != "absent" and asked.reply is None:
                asked.at = "pending"

    def _alive(self, action: Callable[..., None], *arguments: Any) -> None:
        """Do something in the SuperNode, which may be killed meanwhile."""
        try:
            action(*arguments)
        except Killed:
            self.die()
            return
        if self.steps is not None and self.steps.failure is not None:
            failure = self.steps.failure
            if not isinstance(failure, Killed):
                raise failure
            self.die()
        self.check_turns()
        self.check_messages()

    def die(self) -> None:
        """Lose everything that is not in the store."""
        self.steps = None
        self.jobs.shutdown()
        self.disk.kill = None

    def kill(self) -> None:
        """Kill the SuperNode at once, or at one of its next writes, before or after it."""
        when = self.choose([None, 0, 0, 1, 2, 4])
        if when is None:
            self.die()
        else:
            self.disk.kill = (when, self.choose([True, False]))

    def shut_down(self) -> None:
        """End the SuperNode in good order."""
        if self.steps is not None:
            self.steps.close()
            self.die()

    def check_turns(self) -> None:
        """Check who has a turn."""
        if self.steps is None:
            return
        # A step whose run has ended waits for no turn, since it makes nothing.
        skipping = self.steps._turns._skipping
        begun = [
            step
            for step in self.steps._steps.values()
            if step.phase.stage is not Stage.WAITING and step not in skipping
        ]
        series = [step.series_id for step in begun]
        promise(len(series) == len(set(series)), "Two steps of a series are under way.")
        promise(len(series) <= CONCURRENCY, "More steps are under way than may be.")

    def check_messages(self) -> None:
        """Check that a kill at this moment would lose no message."""
        for message_id, asked in self.asked.items():
            if asked.at == "delivered" and not asked.reply and not asked.dropped:
                row = self.disk.rows.get(message_id)
                promise(
                    message_id == self.receiving or (row and row.status != "answered"),
                    "A message was pulled that is neither durable nor answered.",
                )

    def tell_end(self, run_id: int) -> None:
        """Tell the SuperNode that a run has ended."""
        self._alive(self.told_of_the_end, run_id)
        self.check_dropped()

    def told_of_the_end(self, run_id: int) -> None:
        """Tell the SuperNode that a run has ended, while its pool does something else."""
        assert self.steps is not None
        self.steps.end_run(run_id)
        self.memory.told.add(run_id)

    def check_dropped(self) -> None:
        """Check that nothing is waited for or worked on in a run of which the end is known."""
        if self.steps is None:
            return
        for task in self.memory.tasks.values():
            ended = self.asked[task.message_id].run_id in self.memory.told
            promise(not (task.open and ended), "A ClientApp works for a run that has ended.")
        # A step has its turn, and will hear of the end, before the pool has told it.
        turns = self.steps._turns._active.values()
        promise(
            not any(
                step.run_id in self.memory.told
                and step.phase.stage is Stage.WAITING
                and step not in turns
                for step in self.steps._steps.values()
            ),
            "A step waits whose run has ended.",
        )

    # What a ClientApp does.

    def tasks(self) -> list[int]:
        """Return the tasks that have not ended."""
        if self.steps is None:
            return []
        return [key for key, task in self.memory.tasks.items() if task.open]

    def work(self, task_id: int) -> None:
        """End a task in one of many ways."""
        if self.steps is None or (step := self.steps.of_task(task_id)) is None:
            return
        self.seen.append((step, task_id))
        how = self.choose(
            ["ok", "ok", "ok", "ok", "error", "half", "silent", "failed", "expired"]
            if self.faults
            else ["ok"]
        )
        self._finish(step, task_id, how)

    def work_late(self) -> None:
        """Hear once more of a task that may have ended long ago."""
        if self.seen and self.steps is not None:
            step, task_id = self.choose(self.seen)
            how = self.choose(["again", "failed", "expired"])
            if how == "again" and self.memory.replies.get(step.message_id) is None:
                how = "failed"
            self._finish(step, task_id, how)

    def _finish(self, step: Step, task_id: int, how: str) -> None:
        assert self.steps is not None
        task = self.memory.tasks[task_id]
        if how == "expired":
            task.open = False
            self._alive(self.memory.on_tasks_expired, [task_id])
            return
        if how == "failed":
            self._alive(self.steps.fail, step, "The ClientApp vanished.")
            return
        if how in ("ok", "half", "error"):
            self.attempts += 1
            asked = self.asked[step.message_id]
            error = Error(ErrorCode.CLIENT_APP_RAISED, "raised") if how == "error" else None
            self.memory.replies[step.message_id] = SimpleNamespace(
                metadata=asked.answer.message.metadata,
                has_error=lambda: error is not None,
                error=error,
                whole=how == "ok",
                envelope=asked.answer,
                content=f"attempt {self.attempts}".encode(),
            )
        left: Any = SimpleNamespace(state={"base": task.base})
        self._alive(self.steps.complete, step, SplitContext(left, LargeArrays(b"", [])))

    # What the SuperNode does: pull, and what its pool has to do.

    def pending(self) -> list[Asked]:
        """Return the messages that can be pulled."""
        if self.steps is None or self.receiving is not None:
            return []
        return [a for a in self.asked.values() if a.at == "pending" and a.reply is None]

    def pull(self, asked: Asked) -> None:
        """Pull a message."""
        assert self.steps is not None
        self.pulling, asked.at = True, "delivered"
        self.receiving = asked.message_id
        self._alive_or_nested(self.steps.receive, asked.envelope)
        if self.steps is not None:
            self.pulling, self.receiving = False, None

    def _alive_or_nested(self, action: Callable[..., None], *arguments: Any) -> None:
        if self.nested:
            action(*arguments)  # a kill ends what is around this, too
        else:
            self._alive(action, *arguments)

    def run_job(self, index: int) -> None:
        """Let the pool do one of its jobs."""
        self._alive(self.jobs.run, index)

    # What may happen next, by who does it.

    def serverapp(self) -> list[Callable[[], None]]:
        """What ServerApps may do: send a message, once or again, or take a reply."""
        return [
            *(partial(self.push, run_id) for run_id in self.pushable()),
            *(partial(self.resend, each) for each in self.owed()),
            *(partial(self.take, each) for each in self.replied()),
        ]

    def superlink(self) -> list[Callable[[], None]]:
        """What the SuperLink may do: call the node unavailable, lose answers, tell of ends."""
        forgotten = [a for a in self.asked.values() if a.result and a.run_id not in self.ended]
        untold = self.ended - self.memory.told if self.steps is not None else set()
        return [
            *(partial(self.lose, each) for each in self.lost()),
            *(partial(self.ask_again, each) for each in forgotten),
            *(partial(self.tell_end, run_id) for run_id in sorted(untold)),
        ]

    def supernode(self) -> list[Callable[[], None]]:
        """What the SuperNode may do: pull a message, or start after its end."""
        if self.steps is None:
            return [self.start]
        return [partial(self.pull, each) for each in self.pending()]

    def pool(self) -> list[Callable[[], None]]:
        """What the SuperNode's pool may do: any of its jobs."""
        if self.steps is None:
            return []
        return [partial(self.run_job, index) for index in range(len(self.jobs.waiting))]

    def clientapp(self) -> list[Callable[[], None]]:
        """What ClientApps may do: end, in time or late."""
        late = [self.work_late] if self.seen and self.steps is not None else []
        return [*(partial(self.work, task_id) for task_id in self.tasks()), *late]

    def disaster(self) -> list[Callable[[], None]]:
        """What may go wrong: a full disk, the end of the SuperNode, the end of a run."""
        ends = [self.kill, self.kill, self.shut_down] if self.steps is not None else []
        runs = [self.end_some_run] if len(self.ended) < len(SERIES) else []
        free = [partial(self.disk.free_run, run_id) for run_id in self.ended]
        return [*[self.toggle_disk] * 4, *ends, *runs, *free[:1]]

    def end_some_run(self) -> None:
        """End one of the runs that go on."""
        self.end_run(self.choose([run_id for run_id in SERIES if run_id not in self.ended]))

    def act(self, who: str) -> None:
        """Let one of them do something, if there is something to do."""
        actions: list[Callable[[], None]] = getattr(self, who)()
        if actions:
            self.choose(actions)()

    def toggle_disk(self) -> None:
        """Fill the disk, or make room on it."""
        self.disk.full = not self.disk.full

    # The end.

    def drain(self) -> None:
        """Stop all faults, let everything go on, and check that nothing is left waiting."""
        self.faults, self.disk.full, self.disk.kill = False, False, None
        for _ in range(2000):
            if self.steps is None:
                self.start()
            elif self.jobs.waiting:
                self.run_job(self.choose(range(len(self.jobs.waiting))))
            elif tasks := self.tasks():
                self.work(self.choose(tasks))
            elif pending := self.pending():
                self.pull(pending[0])
            elif replied := self.replied():
                self.take(replied[0])
            elif owed := self.owed():
                self.resend(owed[0])
            elif dropped := [
                each for each in self.asked.values() if each.dropped and not each.result
            ]:
                # The node was out of the run's federation, which the ServerApp has seen.
                for asked in dropped:
                    self.resend(asked)
                    asked.half_taken, asked.dropped = None, False
            else:
                break
        else:
            raise BrokenError("The node never comes to rest.")
        self._check_the_end()

    def _check_the_end(self) -> None:
        assert self.steps is not None
        promise(not self.steps.under_way, "A step is left waiting.")
        for asked in self.asked.values():
            promise(asked.result, "A message is never answered.")
        for message_id, row in self.disk.rows.items():
            promise(row.status == "answered", f"A step is left as {row.status}: {message_id}.")
        committed = {
            key
            for history in self.disk.histories.values()
            for key in history
            if self.asked[key].run_id not in self.disk.freed
        }
        promise(committed == set(self.disk.rows), "The store does not know what it committed.")
        logged = {each.message_id for each in self.disk.log if each.committed}
        promise(logged == committed, "The log does not have what was committed.")
        rows = [each.message_id for each in self.disk.log if each.committed]
        promise(len(rows) == len(logged), "The log has a commit twice.")
        promise(not self.tasks(), "A task is left.")
        promise(not self.memory.replies, "The reply of a step is left in memory.")


# Who acts, and how often in comparison with the others.
ACTORS = {
    "serverapp": 4,
    "supernode": 4,
    "pool": 8,
    "clientapp": 4,
    "superlink": 2,
    "disaster": 1,
}


def walk(seed: int, kind: type[World] = World) -> None:
    """Walk a world from its start to its end; raise `BrokenError` for a broken promise."""
    chance = Random(seed)  # noqa: S311
    world = kind(chance.choice)
    for _ in range(chance.choice([50, 150, 300])):
        (who,) = chance.choices(list(ACTORS), list(ACTORS.values()))
        world.act(who)
    world.drain()
