"""Which formats there are, and which of them a file's name means."""

from enum import StrEnum
from pathlib import Path

from fedstate.inspection.errors import InspectionError


class Format(StrEnum):
    """The format of a file."""

    NPZ = "npz"
    SAFETENSORS = "safetensors"
    KERAS = "keras"
    TORCH = "torch"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


SUFFIXES = {
    ".npz": Format.NPZ,
    ".safetensors": Format.SAFETENSORS,
    ".weights.h5": Format.KERAS,
    ".pt": Format.TORCH,
    ".pth": Format.TORCH,
    ".json": Format.JSON,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
}
TABLES = (Format.CSV, Format.PARQUET, Format.JSON)


def format_of(file: Path, chosen: Format | None = None) -> Format:
    """Return the format that was chosen, or else the one that a file's name means.

    Raises
    ------
    InspectionError
        Nothing was chosen, and the name means none; or Keras would not read the file by its name.
    """
    name = file.name.lower()
    found = next((each for suffix, each in SUFFIXES.items() if name.endswith(suffix)), None)
    if chosen is Format.KERAS and found is not Format.KERAS:
        raise InspectionError(
            f"Keras reads weights from files whose names end with .weights.h5, and '{file}' does "
            "not."
        )
    if (known := chosen or found) is None:
        raise InspectionError(
            f"The name of '{file}' does not say its format: let it end with "
            f"{', '.join(SUFFIXES)}, or name the format (--as npz)."
        )
    return known
