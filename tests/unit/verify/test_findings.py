"""Findings are sentences that begin with their place."""

import pytest

from fedstate.verify.findings import LOG, STORE, Finding, Level, Place, numbers, short, worst


def test_a_finding_says_run_node_step_and_who_contradicts_whom() -> None:
    place = Place(1, 2)
    finding = Finding("persistence", "kind", Level.BROKEN, place, "it is", 3, (STORE, LOG))
    assert str(finding) == (
        "run 1, node 2, step 3: it is (the node's store against the node's log)."
    )
    assert str(Finding("persistence", "kind", Level.TOLD, Place(1), "it is")) == "run 1: it is."
    assert str(Place(0, 2)) == "node 2"


@pytest.mark.parametrize(
    "forged", ["\x1b[2J\x1b[H\u2713 all kept", "so\nkept", "\u202etpek", "\ud800"]
)
def test_what_an_app_has_chosen_moves_no_cursor(forged: str) -> None:
    """The reason of a failure is an app's: it could write another verdict over ours."""
    assert str(Finding("persistence", "kind", Level.TOLD, Place(1), forged)).isprintable()


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([3], "3"),
        ([5, 3, 4], "3 to 5"),
        ([3, 5], "3 and 5"),
        ([1, 3, 5], "1, 3 and 5"),
        (range(1, 40, 2), "1, 3, 5, 7, 9, 11, 13, 15 and 12 more"),
    ],
)
def test_steps_are_named_in_few_words(steps: list[int], text: str) -> None:
    assert numbers(steps) == text


def test_the_worst_finding_is_the_verdict() -> None:
    found = [
        Finding("isolation", "kind", level, Place(1), "text")
        for level in (Level.TOLD, Level.BROKEN, Level.UNKNOWN)
    ]
    assert worst(found) == Level.BROKEN
    assert worst([]) == Level.TOLD
    assert (short(b""), short(b"\xab" * 32)) == ("none", "abababababab")
