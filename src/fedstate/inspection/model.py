"""The model of an app, made by a function that the operator names."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from fedstate.inspection.errors import InspectionError


def made_by(name: str) -> Any:
    """Return what a function without arguments returns, such as a Keras model.

    Parameters
    ----------
    name : str
        ``MODULE:FUNCTION``; the module is looked for in this directory, too.

    Raises
    ------
    InspectionError
        There is no such function, or it raises.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        raise InspectionError(f"--model is '{name}'; give MODULE:FUNCTION, as in app.task:load.")
    # TensorFlow would greet, and list what the machine has: the operator has asked for a file.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InspectionError(f"--model {name} is not there: {error}.") from error
    try:
        return found()
    except Exception as error:
        raise InspectionError(
            f"--model {name} cannot be called without arguments, or fails: {error!r}."
        ) from error
