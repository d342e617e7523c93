"""What is asserted of a siege, for every installation alike."""

import functools

from fedstate.walls import mounts
from tests.hostile.app.hostile.attacks import PROBES
from tests.hostile.siege import LAST_BOMBS, LEFTOVERS, Siege, bombs_of
from tests.unit.walls.conftest import as_nobody, outcome

# By what each bomb is stopped, or that it does no harm: a part of the step's error or answer.
STOPPED_BY = {
    "processes": ("(--max-processes)",),
    "threads": ("(--max-processes)",),
    "descriptors": ("(--max-open-files)",),
    "memory": ("(--max-memory)",),
    "memory-of-children": ("(--max-memory)",),
    "memory-files": ("(--max-memory)",),
    "shared-memory": ("(--max-memory)", "(--max-files)", "No space left on device"),
    "system-v-memory": ("(--max-memory)", "(--max-files)", "not permitted"),
    "own-files": ("(--max-files)", "No space left on device"),
    "unlinked-files": ("(--max-files)", "No space left on device"),
    "many-files": ("(--max-files)",),
    "output": ("ended by itself",),
    "wipe-the-log": ("denied",),
    "long-names": ("ended by itself",),
    "endless-line": ("sent a line of more than", "denied after"),
    "false-pid": ("sent an event that is out of turn", "is not a process of its run"),
    "garbage": ("and was ended", "ended by itself"),
    "descriptors-to-the-executor": ("ended by itself",),
    "stop-the-room": ("ended", "room"),
    "stop-itself": ("ended", "no reply", "ClientApp stopped responding"),
    "sockets": ("through",),
}
# Bombs that nothing stops, and the threat model says so: by installation.
UNSTOPPED: dict[str, tuple[str, ...]] = {
    "root": ("memory-files", "unlinked-files"),
    "landlock": ("memory-files", "unlinked-files", "system-v-memory"),
    "containers": ("memory-files", "unlinked-files", "system-v-memory"),
}
# What gets through without root where the system lets its users have no namespaces, so that all
# runs share this memory and see all files; and what they then leave behind.
SHARED = (
    *("attach-shared-memory", "use-semaphores", "read-message-queues"),
    *("open-posix-shared-memory", "remove-what-the-victim-shares"),
    *("connect-to-sockets-in-files", "ask-programs-of-the-executors-user"),
    "reach-beyond-the-servers-socket",
    *("change-modes-of-the-victims-files", "watch-the-victims-directories"),
)
_LEFT = ("/dev/shm/", "System V")  # noqa: S108
# The memory by which a trusted process may grow while an app floods it.
GROWTH_BYTES = 64 * 2**20
# And the descriptors: what tasks that are under way take of them.
GROWTH_DESCRIPTORS = 50


@functools.cache
def shares(mode: str) -> bool:
    """Whether runs share memory and files: they have one user, who may have no namespaces."""
    return mode == "landlock" and as_nobody(lambda: outcome(mounts.own_memory)) != "done"


def probe_cases(mode: str) -> list[tuple[str, ...]]:
    """Return the probes of an installation, each from the side of each kind of app."""
    return [
        (side, name)
        for name, probe in PROBES.items()
        if mode in probe.modes
        for side in probe.sides
    ]


def check_probe(siege: Siege, side: str, name: str) -> None:
    """Check that a probe was denied, and by what."""
    probe, report = PROBES[name], siege.probes.get((side, name))
    assert report is not None, f"{name} has not reported; the logs:\n{siege.logs[-1][-3000:]}"
    shared = name in SHARED and shares(siege.ground.mode)
    if shared or siege.ground.mode in probe.still_open:
        assert report["through"], f"{name} is denied now ({report}): say so in the threat model"
        return
    assert not report["through"], f"{name} got through: {report}"
    assert report["denied"], f"{name} has found nothing to attack"
    unexpected = [
        denial
        for denial in report["denied"]
        if not any(denial == by or denial.startswith(by) for by in probe.by)
    ]
    assert not unexpected, f"{name} was denied by something else than {sorted(probe.by)}"


def bomb_cases(mode: str) -> tuple[str, ...]:
    """Return the bombs that go off in an installation."""
    return (*bombs_of(mode), *LAST_BOMBS)


def check_bomb(siege: Siege, name: str) -> None:
    """Check that a bomb cost its own run a step at most, and what the step's error says."""
    answer = siege.bombs.get(name, "it did not go off")
    kind = name.partition("/")[0]
    if kind in UNSTOPPED.get(siege.ground.mode, ()):
        assert "through" in answer, f"{answer}: say in the threat model that this is stopped"
        return
    assert any(part in answer for part in STOPPED_BY[kind]), answer


def check_survivors(siege: Siege) -> None:
    """Check that what is above every run outlived all bombs, and did not grow."""
    assert "bombs" not in siege.failures, siege.failures
    assert not siege.lost, "these processes have ended, or others have taken their place"
    grown = {name: size for name, size in siege.grown.items() if size > GROWTH_BYTES}
    assert not grown
    assert not {name: more for name, more in siege.opened.items() if more > GROWTH_DESCRIPTORS}


def check_leftovers(siege: Siege) -> None:
    """Check that nothing of a run is left when it has ended: processes, files, memory."""
    assert "leftovers" not in siege.failures, siege.failures
    for name in LEFTOVERS:
        assert siege.bombs.get(name, "").startswith("left"), siege.bombs
    expected = _LEFT if shares(siege.ground.mode) else ()
    assert {left for left in siege.left if not left.startswith(expected)} == set()
    missing = [part for part in expected if not any(each.startswith(part) for each in siege.left)]
    assert not missing, f"{missing} are gone now: say so in the threat model"


def check_slots(siege: Siege) -> None:
    """Check that a run goes on while others hold as many slots as there are, and sleep."""
    assert "slots" not in siege.failures, siege.failures
    assert not siege.in_its_way


def check_notes(siege: Siege) -> None:
    """Check that a run cannot let another into its room, though both want it."""
    notes = [line for line in siege.notes if "denied" in line or "through" in line]
    assert notes, f"no run has looked into another's room: {siege.notes}"
    assert not [line for line in notes if "through" in line]


def check_victim(siege: Siege) -> None:
    """Check that the victim's run came to what it comes to when nobody attacks it."""
    assert siege.undisturbed["digests"], "it has trained nothing"
    assert "victim" not in siege.failures, siege.failures
    assert siege.disturbed == siege.undisturbed, siege.logs[-1][-3000:]
    assert not siege.forged, "somebody else has written into its log"
