"""A run that was rolled back, as the node says itself: to which state, and whether that is so."""

from fedstate.verify.findings import LOG, Finding, Level, Place, short
from fedstate.verify.steps import NodeSteps, Step
from fedstate.witness import ROLLED_BACK


def undone(steps: NodeSteps) -> set[str]:
    """Return the messages whose states a rollback has taken back."""
    rows = {step.number: step for step in steps.chain}
    if not any(step.record.outcome == ROLLED_BACK for step in rows.values()):
        return set()
    stored = [number for number, step in sorted(rows.items()) if step.record.stores]
    before = dict(zip(stored[1:], stored, strict=False))
    # From the present state back to the first: by steps, and over what was taken back.
    number, still_there = stored[-1], set()
    while number in rows and number not in still_there:
        still_there.add(number)
        record = rows[number].record
        back = record.outcome == ROLLED_BACK
        number = record.source_number if back else before.get(number, 0)
    return {
        step.record.message_id
        for step in rows.values()
        if step.record.committed and step.number not in still_there
    }


def rolled_back(step: Step, place: Place, known: bytes | None) -> Finding:
    """Tell that a run was rolled back, and whether to the state that the row says.

    Parameters
    ----------
    step : Step
        The row.
    place : Place
        Where it is.
    known : bytes, optional
        The digest of the state that it names, if that is known.
    """
    record = step.record
    where = f"to step {record.source_number}" if record.source_number else "to its beginning"
    text = f"rolled back by the node's operator {where}"
    false = False
    if record.source_run != record.run_id:
        false, text = True, f"{text} of run {record.source_run}"
    elif known is not None and known != record.stored:
        false = True
        text += f", and the state is {short(record.stored)} instead of {short(known)}"
    return Finding(
        "persistence",
        "false-rollback" if false else "rolled-back",
        Level.BROKEN if false else Level.TOLD,
        place,
        text,
        step.number,
        (LOG,) if false else (),
    )
