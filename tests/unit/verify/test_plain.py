"""What is found to be plain is what the checks have nothing to say of, whatever is amiss."""

from collections.abc import Callable
from typing import Any

import pytest

from fedstate.verify import persistence, steps, verifier
from fedstate.verify.evidence import AWAY, Evidence, NodeAnswer
from fedstate.verify.plain import is_plain
from fedstate.verify.steps import put_together
from tests.unit.verify.lies import LIES, NODE, RUN, SECOND
from tests.unit.verify.made import World, exchange, fresh, note


def interned(evidence: Evidence) -> Evidence:
    """Make rows and receipts that are the same one object, as evidence from a SuperLink has."""
    for run in evidence.runs:
        for node in run.nodes.values():
            known = {receipt.row: receipt for receipt in node.receipts}
            for place, row in enumerate(node.rows):
                receipt = known.get(row.row)
                if receipt is not None and receipt.signature == row.signature:
                    node.rows[place] = receipt
    return evidence


def away(world: World) -> None:
    world.evidence.answers[NODE] = NodeAnswer(AWAY)


def failed(world: World) -> None:
    exchange(world.run(RUN), world.nodes[NODE], "another", reason="no data")
    world.refresh()


def rolled_back(world: World) -> None:
    row = world.of(RUN, NODE).rows[1].record
    note(world.run(RUN), world.nodes[NODE], "rolled back", row.stored, (RUN, 2))
    world.refresh()


def not_answered(world: World) -> None:
    world.of(RUN, NODE).deliveries[-1].answered_at = 0.0


def without_its_key(world: World) -> None:
    del world.evidence.keys[NODE]


OTHERS = (away, failed, rolled_back, not_answered, without_its_key)
WORLDS: dict[str, Callable[[World], None]] = {
    "kept": lambda _: None,
    **{name: lie for name, (lie, _, _) in LIES.items()},
    **{each.__name__: each for each in OTHERS},
}


@pytest.mark.parametrize("name", WORLDS)
def test_the_checks_themselves_find_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = fresh()
    WORLDS[name](world)
    quick = found(interned(world.evidence))
    monkeypatch.setattr(verifier, "is_plain", lambda *_: False)
    monkeypatch.setattr(steps, "_alike", lambda *_: None)
    monkeypatch.setattr(persistence._Walk, "follows", lambda *_: False)
    assert quick == found(world.evidence)


def found(evidence: Evidence) -> tuple[Any, ...]:
    checking = verifier.Verifier()
    checking.add(evidence)
    report = checking.finish()
    return sorted(map(str, report.findings)), report.to_json()["runs"], report.exit_code


def test_what_was_kept_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the checks would be no quicker for it."""
    plain: list[bool] = []

    def noting(*arguments: Any) -> bool:
        plain.append(is_plain(*arguments))
        return plain[-1]

    monkeypatch.setattr(verifier, "is_plain", noting)
    world = fresh()
    assert found(interned(world.evidence))[2] == 0
    assert plain == [True] * 4
    of_node = world.of(RUN, SECOND)
    assert put_together(RUN, of_node).chain == steps._alike(RUN, of_node)
