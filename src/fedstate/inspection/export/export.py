"""Writing a state, or a table, into a file of any of the formats."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedstate.inspection.errors import InspectionError
from fedstate.inspection.export.arrays import (
    write_keras,
    write_npz,
    write_safetensors,
    write_torch,
)
from fedstate.inspection.export.as_json import write_json
from fedstate.inspection.export.formats import TABLES, Format, format_of
from fedstate.inspection.export.pieces import pieces_of
from fedstate.inspection.export.tables import write_table
from fedstate.inspection.export.writing import whole_file
from fedstate.inspection.histories import histories_of
from fedstate.inspection.state import State
from fedstate.inspection.tables import Table
from fedstate.inspection.value import Value

_KERAS_WEIGHTS = "keras.weights"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    file : str
        The file.
    format : str
        Its format.
    size : int
        Its bytes.
    exported : list of str
        The values, or the histories, of which it has all or a part.
    left_out : list of str
        What of them the format does not have, such as texts between arrays.
    """

    file: str
    format: str
    size: int
    exported: list[str]
    left_out: list[str] = field(default_factory=list)


def export_state(
    state: State,
    file: Path,
    name: str | None = None,
    *,
    form: Format | None = None,
    replace: bool = False,
    model: Any = None,
) -> Exported:
    """Write a value of a state, or all of them, into a file.

    Parameters
    ----------
    state : State
        The state.
    file : Path
        The file; only its owner may read it.
    name : str, optional
        The name of a value; without it, all. CSV and Parquet are tables of histories.
    form : Format, optional
        The format; without it, the one that the name of the file means.
    replace : bool
        Whether a file that is there is replaced.
    model : keras.Model, optional
        For Keras's format: a model that the weights fit, such as the app makes it. Keras calls
        layers in its files by their classes, which a state does not have. The model is left with
        the weights.

    Raises
    ------
    InspectionError
        The format does not have what is to be written, its library is not installed, or the file
        is there or cannot be written.
    NotFoundError
        There is no such value.
    StateFitError
        The weights do not fit the model.
    StateDamagedError, StoreDamagedError
        A value is not what was stored; it is named.
    """
    form = format_of(file, form)
    if form in (Format.CSV, Format.PARQUET):
        if name is not None and name in state.values and not state.values[name].histories():
            raise InspectionError(
                f"The value {name!r} is a {state.values[name].type}, and {form} is for "
                "histories; export it as JSON or npz."
            )
        table = histories_of(state, None if name is None else [name])
        if not len(table) and name is None:
            raise InspectionError(
                f"Run {state.run_id} has no history to write as {form}; JSON and npz have values "
                "of other kinds."
            )
        return export_table(table, file, form=form, replace=replace)
    values = list(state.values.values()) if name is None else [state.values[name]]
    if form is Format.KERAS:
        return _export_keras(_weights(values), file, model, replace=replace)
    if form is Format.JSON:
        with whole_file(file, replace=replace) as partial:
            write_json(values, partial, alone=name is not None)
        return _done(file, form, [value.name for value in values])
    pieces = pieces_of(values, alone=name is not None)
    with whole_file(file, replace=replace) as partial:
        if form is Format.NPZ:
            write_npz(pieces.arrays, partial)
        elif form is Format.TORCH:
            write_torch(pieces.arrays, partial)
        else:
            about = {"run": str(state.run_id), "state": str(state.number)}
            write_safetensors(pieces.arrays, about, partial)
    return _done(file, form, pieces.values, pieces.left_out)


def export_table(
    table: Table, file: Path, *, form: Format | None = None, replace: bool = False
) -> Exported:
    """Write a table into a file: CSV, Parquet or JSON.

    Raises
    ------
    InspectionError
        The format is none of a table, its library is not installed, or the file is there or
        cannot be written.
    """
    form = format_of(file, form)
    if form not in TABLES:
        raise InspectionError(f"A table cannot be written as {form}; give csv, parquet or json.")
    with whole_file(file, replace=replace) as partial:
        write_table(table, form, partial)
    return _done(file, form, list(dict.fromkeys(table.column("name"))))


def _weights(values: Sequence[Value]) -> Value:
    """Return the only one of some values that is the weights of a Keras model."""
    found = [value for value in values if value.tag == _KERAS_WEIGHTS]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(repr(value.name) for value in found)
        raise InspectionError(f"There are several Keras models ({names}): name one of them.")
    have = ", ".join(f"{value.name!r} ({value.type})" for value in values) or "no values"
    raise InspectionError(
        f"There are no weights of a Keras model here, but {have}; export arrays as npz or "
        "safetensors."
    )


def _export_keras(value: Value, file: Path, model: Any, *, replace: bool) -> Exported:
    if model is None:
        raise InspectionError(
            "Keras calls layers in its files by their classes, which the state does not have: "
            "give the function that makes the app's model, as in --model app.task:load_model. "
            "Without it, npz and safetensors have the weights by layer and name."
        )
    with whole_file(file, replace=replace) as partial:
        value.load_into(model)
        write_keras(model, partial)
    return _done(file, Format.KERAS, [value.name])


def _done(
    file: Path, form: Format, exported: list[str], left_out: list[str] | None = None
) -> Exported:
    return Exported(str(file), str(form), file.stat().st_size, exported, left_out or [])
